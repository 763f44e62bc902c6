"""The parts of a node as physics sees them: mains, battery, charger, amplifier, line, horn, radio, SIM,
storage, microphone, enclosure. Faults are put in by code (see FAULTS); metrics follow as they would.

Pure: time comes in as monotonic seconds, noise from the seed. Impedances and levels are those of a 70 V
line with 100 W: full scale at the amplifier's input is 70.7 V at its output.
"""

from __future__ import annotations

import difflib
import itertools
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from controller.wire.messages import Metric

Value = float | int | bool | str

FULL_SCALE_VRMS = 70.7
RATED_W = 100.0
SILENCE_DBFS = -96.0
CUTOFF_V = 10.5
IDLE_W = 8.0
AMPLIFIER_EFFICIENCY = 0.8
PILOT_DB = -30.0
PILOT_LOST_DB = -90.0
MIC_SPL_DB = 96.0

# open-circuit voltage of a 12 V lead-acid battery by state of charge
_CURVE = ((0.0, 10.3), (0.05, 10.9), (0.1, 11.3), (0.2, 11.7), (0.5, 12.2), (0.8, 12.5), (1.0, 12.75))


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One fault of the table: what part it breaks, what follows, and the arguments it takes (defaults)."""

    component: str
    effect: str
    args: Mapping[str, Value] = field(default_factory=dict)


FAULTS: Mapping[str, FaultSpec] = {
    "link": FaultSpec(
        "network",
        "cable out: the connection is reset, or (`silent`) just goes quiet; nothing reconnects",
        {"silent": False},
    ),
    "mains-lost": FaultSpec("power", "mains_v 0; the battery carries the load, batt_v decays, then death"),
    "mains-high": FaultSpec("power", "mains_v at `volts`", {"volts": 262.0}),
    "battery-low": FaultSpec("battery", "a cell collapses: batt_v down by `volts`", {"volts": 2.2}),
    "battery-aged": FaultSpec("battery", "batt_r_mohm times `factor`", {"factor": 1.8}),
    "charger": FaultSpec("battery", "chg_a 0 with mains on; batt_v sinks below 12.8"),
    "amplifier": FaultSpec("amplifier", "output dead: amp_vrms ~0, pilot lost, src_dbfs stays; no sound"),
    "amp-hot": FaultSpec("amplifier", "amp_temp_c climbs to `celsius`", {"celsius": 82.0}),
    "fan": FaultSpec("amplifier", "fan_rpm 0; amp_temp_c some degrees up"),
    "overload": FaultSpec("speaker line", "load_w at `percent` of rated", {"percent": 130.0}),
    "line-open": FaultSpec("speaker line", "line_z_ohm times 20, load_w ~0; no sound"),
    "line-short": FaultSpec("speaker line", "line_z_ohm times 0.06; amplifier folds back; no sound"),
    "earth-fault": FaultSpec("speaker line", "earth_kohm at `kohm`", {"kohm": 18.0}),
    "horn": FaultSpec("horn", "line_z_ohm times `factor`; one horn of the line silent", {"factor": 1.2}),
    "horn-silent": FaultSpec("horn", "mic_spl_db in self-tests down by `db`", {"db": 16.0}),
    "unscheduled-sound": FaultSpec("amplifier", "amp_vrms at `volts` while idle", {"volts": 9.0}),
    "signal": FaultSpec("network", "rsrp_dbm -113, sinr_db -4"),
    "sim": FaultSpec(
        "network",
        "sim_state, data_left_mb, sim_exp_d as given",
        {
            "state": "ready",
            "left_mb": 120.0,
            "days": 3,
        },
    ),
    "clock": FaultSpec("clock", "clock not synchronised and off by `offset_ms`", {"offset_ms": 3200.0}),
    "clock-drift": FaultSpec("clock", "clock off by `offset_ms`, believed good", {"offset_ms": 900.0}),
    "storage": FaultSpec("storage", "io_err_n at `errors`", {"errors": 3}),
    "storage-full": FaultSpec("storage", "disk_free_pct at `free_pct`", {"free_pct": 7.0}),
    "emergency-sound": FaultSpec("storage", "a held emergency sound (or nothing held) no longer matches"),
    "microphone": FaultSpec("microphone", "mic_pilot_ok false; ptt_s as given", {"ptt_s": 0}),
    "relay": FaultSpec("source", "streams deliver silence: src_dbfs -90 while relaying"),
    "enclosure": FaultSpec("enclosure", "door open, rh_pct 94, spd_ok false"),
    "reboots": FaultSpec("controller board", "the node reboots `times` in a row", {"times": 3}),
    "missed-broadcast": FaultSpec("the service itself", "the next playlist fails: its audio is unreadable"),
    "security": FaultSpec("identity", "a document signed by a stranger reaches the node"),
}
"""Every code of the fault table and what injecting it does. The last three and `link`, `clock`,
`emergency-sound` act on the node as a whole and are carried out by the agent."""


def kind_of(value: object) -> str:
    """What sort of argument that is, in words."""
    kinds = {bool: "yes or no", int: "a number", float: "a number", str: "a word"}
    return kinds.get(type(value), "something else")


class UnknownFault(ValueError):
    """No such fault, or an argument that it does not take; the text suggests."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the player asks of the amplifier: its input level (after the volume), whether it relays, and whether a
    stream is on air, be it heard itself or its fallback."""

    src_dbfs: float = SILENCE_DBFS
    relaying: bool = False
    streaming: bool = False


IDLE = Load()


@dataclass(frozen=True, slots=True)
class SelfTest:
    passed: bool
    results: dict[str, Metric | None]
    parts: dict[str, Literal["passed", "failed", "skipped"]]


class Parts:
    """One node's hardware. `seed` makes its individual values and its noise."""

    def __init__(self, seed: str, *, battery_wh: float = 240.0) -> None:
        self._rng = random.Random(f"noise:{seed}")  # noqa: S311  must repeat by seed
        made = random.Random(f"made:{seed}")  # noqa: S311  must repeat by seed
        self.mains_nominal = made.uniform(219, 231)
        self.z_nominal = made.uniform(58, 66)
        self.r_nominal = made.uniform(22, 28)
        self.earth_nominal = made.uniform(1500, 4000)
        self.rsrp = made.uniform(-92, -76)
        self.sinr = made.uniform(9, 18)
        self.ambient = made.uniform(28, 34)
        self.data_left_mb = made.uniform(2500, 6000)
        self.sim_days = made.randint(60, 300)
        self.disk_free = made.uniform(50, 75)
        self.humidity = made.uniform(55, 70)
        self.battery_wh = battery_wh
        self.charge = 1.0
        self.temperature = self.ambient + 6
        self.faults: dict[str, dict[str, Value]] = {}
        self.io_errors = 0
        """Writes that really failed on this machine's disk."""
        self.stream_silent_s = 0.0
        """How long the relayed station has been silent."""
        self._mono: float | None = None

    # --- faults ---------------------------------------------------------------------------------------------

    def inject(self, code: str, args: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """Break something; returns the arguments in force. UnknownFault for a code or argument unheard of."""
        spec = FAULTS.get(code)
        if spec is None:
            raise UnknownFault(f"unknown fault {code!r}{_like(code, FAULTS)}")
        for name, value in (args or {}).items():
            default = spec.args.get(name)
            if default is None:
                raise UnknownFault(f"fault {code!r} takes no {name!r}{_like(name, spec.args)}")
            if kind_of(value) != kind_of(default):
                raise UnknownFault(f"{name!r} of fault {code!r} is wanted as {kind_of(default)}, not {value!r}")
        self.faults[code] = {**spec.args, **(args or {})}
        return self.faults[code]

    def mend(self, code: str | None = None) -> list[str]:
        """Repair one thing or (None) everything; returns what was repaired."""
        if code is not None and code not in FAULTS:
            raise UnknownFault(f"unknown fault {code!r}{_like(code, FAULTS)}")
        mended = [known for known in self.faults if code in (None, known)]
        for known in mended:
            del self.faults[known]
        return mended

    def _has(self, code: str) -> bool:
        return code in self.faults

    def _arg(self, code: str, name: str) -> float:
        return float(self.faults[code][name])

    # --- power ----------------------------------------------------------------------------------------------

    @property
    def mains_on(self) -> bool:
        return not self._has("mains-lost")

    def powered(self, load: Load = IDLE) -> bool:
        """Whether the node runs: on mains, or on a battery above its cut-off."""
        return self.mains_on or self.battery_volts(load) > CUTOFF_V

    def advance(self, mono: float, load: Load = IDLE, *, running: bool = True) -> None:
        """Let time pass up to `mono`: charge, discharge, warm up, cool down."""
        elapsed = 0.0 if self._mono is None else max(0.0, mono - self._mono)
        self._mono = mono
        hours = elapsed / 3600
        silent = load.streaming and self._has("relay")
        self.stream_silent_s = self.stream_silent_s + elapsed if silent else 0.0
        if self.mains_on:
            watts = 0.0 if self._has("charger") else min(60.0, self.battery_wh / 5)
            if self._has("charger"):
                watts = -0.2
            self.charge = min(1.0, max(0.0, self.charge + watts * hours / self.battery_wh))
        elif running:
            self.charge = max(0.0, self.charge - self.draw_w(load) * hours / self.battery_wh)
        self._warm(elapsed, load)

    def draw_w(self, load: Load) -> float:
        """Power taken from the supply."""
        return IDLE_W + self._speaker_w(load) / AMPLIFIER_EFFICIENCY

    def battery_volts(self, load: Load = IDLE) -> float:
        """Terminal voltage."""
        drop = self._arg("battery-low", "volts") if self._has("battery-low") else 0.0
        if self.mains_on and not self._has("charger"):
            return (13.65 if self.charge > 0.98 else 13.2 + 0.4 * self.charge) - drop
        current = 0.2 if self.mains_on else self.draw_w(load) / 12
        return _interpolate(self.charge) - current * self.battery_mohm / 1000 - drop

    @property
    def battery_mohm(self) -> float:
        return self.r_nominal * (self._arg("battery-aged", "factor") if self._has("battery-aged") else 1.0)

    def _charge_amps(self) -> float:
        if not self.mains_on or self._has("charger"):
            return 0.0
        return 0.08 + min(4.5, 20 * (1 - self.charge))

    # --- amplifier, line, horn ------------------------------------------------------------------------------

    @property
    def amplifier_works(self) -> bool:
        return not self._has("amplifier")

    def amp_vrms(self, load: Load) -> float:
        """Measured behind the amplifier."""
        if not self.amplifier_works:
            return 0.01
        volts = FULL_SCALE_VRMS * 10 ** (self._source_dbfs(load) / 20)
        if self._has("line-short"):
            volts = min(volts, 0.8)
        if self._has("unscheduled-sound"):
            volts = math.hypot(volts, self._arg("unscheduled-sound", "volts"))
        return max(volts, 0.03)

    def level_db(self, load: Load) -> float:
        """The amplifier's output in dB below full scale."""
        return 20 * math.log10(self.amp_vrms(load) / FULL_SCALE_VRMS)

    def line_ohm(self) -> float:
        """Impedance of the line as the pilot tone sees it."""
        factor = 1.0
        if self._has("horn"):
            factor *= self._arg("horn", "factor")
        if self._has("line-open"):
            factor *= 20
        if self._has("line-short"):
            factor *= 0.06
        return self.z_nominal * factor

    def acoustic_gain(self) -> float:
        """What of the programme leaves the horns, 0..1."""
        if not self.amplifier_works or self._has("line-open") or self._has("line-short"):
            return 0.0
        gain = 1.0
        if self._has("horn"):
            gain *= 0.7
        if self._has("horn-silent"):
            gain *= 10 ** (-self._arg("horn-silent", "db") / 20)
        return gain

    def _source_dbfs(self, load: Load) -> float:
        return -90.0 if load.relaying and self._has("relay") else load.src_dbfs

    def _speaker_w(self, load: Load) -> float:
        if self._has("line-open") or not self.amplifier_works:
            return 0.0
        return min(RATED_W * 1.5, self.amp_vrms(load) ** 2 / self.line_ohm())

    def _load_w(self) -> float:
        """Load at full drive: what is tapped on the line. A saturated transformer shows here, not in z."""
        if self._has("overload"):
            return RATED_W * self._arg("overload", "percent") / 100
        if self._has("line-open"):
            return 0.4
        return min(RATED_W * 1.04, FULL_SCALE_VRMS**2 / self.line_ohm())

    def _warm(self, elapsed: float, load: Load) -> None:
        target = self.ambient + 6 + 0.25 * self._speaker_w(load) + (9 if self._has("fan") else 0)
        settle_s = 120.0
        if self._has("amp-hot"):
            target, settle_s = self._arg("amp-hot", "celsius") + 0.5, 4.0
        elif self.temperature > 70:
            settle_s = 20.0
        self.temperature += (target - self.temperature) * (1 - math.exp(-elapsed / settle_s))

    # --- what is measured -----------------------------------------------------------------------------------

    def state(self) -> tuple[bool, ...]:
        """What a node tells at once when it changes: mains, amplifier, line open, line short, sound unasked."""
        unasked = self._has("unscheduled-sound")
        return (
            self.mains_on,
            self.amplifier_works,
            self._has("line-open"),
            self._has("line-short"),
            self._has("mains-high"),
            unasked,
        )

    def metrics(self, load: Load) -> dict[str, Metric | None]:
        """Everything this model measures, by the names of the fault table."""
        return {**self._power_metrics(load), **self._audio_metrics(load), **self._board_metrics()}

    def _power_metrics(self, load: Load) -> dict[str, Metric | None]:
        mains = self.mains_nominal + self._noise(0.8)
        if self._has("mains-high"):
            mains = self._arg("mains-high", "volts") + self._noise(0.8)
        return {
            "mains_v": round(mains, 1) if self.mains_on else 0.0,
            "mains_ok": self.mains_on,
            "batt_v": round(self.battery_volts(load) + self._noise(0.01), 2),
            "batt_r_mohm": round(self.battery_mohm + self._noise(0.2), 1),
            "batt_r_base_mohm": round(self.r_nominal, 1),
            "chg_a": round(self._charge_amps(), 2),
        }

    def _audio_metrics(self, load: Load) -> dict[str, Metric | None]:
        source = self._source_dbfs(load)
        pilot = PILOT_DB + self._noise(0.3) if self.amplifier_works else PILOT_LOST_DB
        fan = 0 if self._has("fan") else round(1400 + 12 * (self.temperature - 30) + self._noise(15))
        return {
            "stream_silent_s": round(self.stream_silent_s),
            "src_dbfs": round(source, 1),
            "amp_vrms": round(self.amp_vrms(load), 2),
            "amp_pilot_db": round(pilot, 1),
            "amp_temp_c": round(self.temperature + self._noise(0.2), 1),
            "fan_rpm": fan,
            "line_z_ohm": round(self.line_ohm() * (1 + self._noise(0.004)), 1),
            "line_z_base_ohm": round(self.z_nominal, 1),
            "load_w": round(self._load_w(), 1),
            "load_rated_w": RATED_W,
            "earth_kohm": round(self._earth_kohm(), 0),
        }

    def _board_metrics(self) -> dict[str, Metric | None]:
        bad_signal, enclosure = self._has("signal"), self._has("enclosure")
        sim, errors = self.faults.get("sim", {}), self.faults.get("storage", {}).get("errors", 0)
        full = self.faults.get("storage-full", {})
        return {
            "rsrp_dbm": round((-113 if bad_signal else self.rsrp) + self._noise(0.8)),
            "sinr_db": round((-4 if bad_signal else self.sinr) + self._noise(0.4), 1),
            "sim_state": sim.get("state", "ready"),
            "data_left_mb": round(float(sim.get("left_mb", self.data_left_mb))),
            "data_quota_mb": 6000,
            "sim_exp_d": int(sim.get("days", self.sim_days)),
            "disk_free_pct": round(float(full.get("free_pct", self.disk_free))),
            "io_err_n": self.io_errors + int(errors),
            "mic_pilot_ok": not self._has("microphone"),
            "ptt_s": int(self.faults.get("microphone", {}).get("ptt_s", 0)),
            "door": enclosure,
            "rh_pct": round(94 if enclosure else self.humidity + self._noise(0.5)),
            "spd_ok": not enclosure,
        }

    def selftest(self, *, soundless: bool = False) -> SelfTest:
        """Sweep through the parts: pilot, line, insulation, battery, microphone in front of the horn. `soundless`:
        nothing that could be heard, so nothing of the horn."""
        tested = self._audio_metrics(IDLE)
        names = ("amp_pilot_db", "line_z_ohm", "line_z_base_ohm", "earth_kohm")
        results: dict[str, Metric | None] = {name: tested[name] for name in names}
        results["batt_r_mohm"] = round(self.battery_mohm, 1)
        results["batt_r_base_mohm"] = round(self.r_nominal, 1)
        gain = self.acoustic_gain()
        heard = MIC_SPL_DB + 20 * math.log10(gain) if gain > 0 and not soundless else None
        if heard is not None:  # with no sound on the line the microphone says nothing of the horn
            results["mic_spl_db"] = round(heard + self._noise(0.4), 1)
        results["mic_spl_base_db"] = MIC_SPL_DB
        results["mic_pilot_ok"] = not self._has("microphone")
        passes = self._passes(heard)
        parts: dict[str, Literal["passed", "failed", "skipped"]] = {
            part: "passed" if good else "failed" for part, good in passes.items()
        }
        if soundless:
            parts["horn"] = "skipped"
        return SelfTest("failed" not in parts.values(), results, parts)

    def _passes(self, heard_db: float | None) -> dict[str, bool]:
        off = abs(self.line_ohm() / self.z_nominal - 1)
        return {
            "amplifier": self.amplifier_works,
            "speaker line": 0.5 < self.line_ohm() / self.z_nominal < 2 and self._earth_kohm() > 100,
            "horn": off < 0.15 and heard_db is not None and heard_db > MIC_SPL_DB - 10,
            "battery": self.battery_mohm < 1.5 * self.r_nominal,
            "microphone": not self._has("microphone"),
            "storage": self.io_errors == 0 and not self._has("storage"),
        }

    def _earth_kohm(self) -> float:
        return self._arg("earth-fault", "kohm") if self._has("earth-fault") else self.earth_nominal

    def _noise(self, spread: float) -> float:
        return self._rng.gauss(0, spread)


def _interpolate(charge: float) -> float:
    for (low, low_v), (high, high_v) in itertools.pairwise(_CURVE):
        if charge <= high:
            return low_v + (charge - low) / (high - low) * (high_v - low_v)
    return _CURVE[-1][1]


def _like(word: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
