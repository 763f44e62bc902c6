"""Whatever lies in the folder, loading gives Settings or a ConfigError with places that exist."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controller.domain.site import Settings
from controller.settings import ConfigError, load, values, yaml_source
from controller.settings.source import Unusable, decode

GOOD = Path(__file__).parent.parent / "config" / "good"
FILES = sorted(path.name for path in GOOD.glob("*.yaml"))
TOKENS = (
    "- ", ": ", ":", "[", "]", "{", "}", "*a", "&a ", "!!int ", "!", "|", ">", "'", '"', "\\", "#", "\t", "\n", "\r",
    "\0", "? ", "---\n", "...\n", "<<: ", "~", "null", "no", "1" * 400, "-1", "1e999", ".nan", "25:61",
    "file:", "env:NOWHERE", "../..", "/", "\u00a0", "\ufeff", "\u2028", "ậ", "all", "na-meo", "audio", "%", "@", "`",
    "\x85", "2026-02-30", "env:",
)  # fmt: skip

few = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def config() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(GOOD, Path(folder) / "config"))


def outcome(config: Path, name: str, content: bytes) -> Settings | ConfigError:
    """Load with one file changed; every place of a problem in it must exist in it."""
    (config / name).write_bytes(content)
    try:
        return load(config, environ={})
    except ConfigError as error:
        lines = content.decode("utf-8", "replace").split("\n")
        for problem in error.problems:
            assert "\n" not in str(problem)
            if problem.file.endswith(name):
                assert 1 <= problem.line <= len(lines) + 1
                assert problem.column >= 1
        return error
    finally:
        shutil.copy(GOOD / name, config / name)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good file in which pieces were cut, doubled, moved, or replaced by what YAML cares about."""
    name = draw(st.sampled_from(FILES))
    text = (GOOD / name).read_text()
    for _ in range(draw(st.integers(1, 5))):
        begin, end = sorted(draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        end = min(end, begin + draw(st.sampled_from((0, 1, 3, 20, 400))))
        piece = draw(st.sampled_from(TOKENS) | st.just(text[begin:end] * 2) | st.text(max_size=8))
        text = text[:begin] + piece + text[end:]
    return name, text.encode("utf-8", "surrogatepass")


@given(change=mutated())
@few
def test_a_file_changed_in_any_way_gives_settings_or_problems(change: tuple[str, bytes], config: Path) -> None:
    assert isinstance(outcome(config, *change), Settings | ConfigError)


@given(name=st.sampled_from(FILES), content=st.binary(max_size=300))
@example(name="site.yaml", content=b"\xff\xfe\x00")
@example(name="nodes.yaml", content=b"\xed\xa0\x80")
@few
def test_any_bytes_are_a_problem(name: str, content: bytes, config: Path) -> None:
    assert isinstance(outcome(config, name, content), ConfigError)


plain = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(("all", "05:30"))
)
anything = st.recursive(
    plain, lambda part: st.lists(part, max_size=3) | st.dictionaries(plain, part, max_size=3), max_leaves=6
)


def positions(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) inside `value`."""
    for key in range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, dict) else ():
        yield value, key
        yield from positions(value[key])


@given(data=st.data(), name=st.sampled_from(FILES), other=anything)
@few
def test_any_value_in_the_place_of_any_other_gives_settings_or_problems(
    data: st.DataObject, name: str, other: Any, config: Path
) -> None:
    tree = yaml.load((GOOD / name).read_text(), yaml.BaseLoader)
    container, key = data.draw(st.sampled_from(list(positions(tree))))
    container[key] = other
    text = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)
    assert isinstance(outcome(config, name, text.encode()), Settings | ConfigError)


@given(text=st.text(alphabet=st.sampled_from("ab:- \n[]{}\"'|>#&*!?,\t"), max_size=60))
@settings(max_examples=500, deadline=None)
def test_both_yaml_parsers_accept_the_same_structures(text: str) -> None:
    """Where both read it, they read the same; neither fails with anything but Unusable."""
    results = []
    for parser in (yaml.CSafeLoader, yaml.SafeLoader):
        try:
            results.append(yaml_source.parse(decode(text.encode()), parser).root)
        except Unusable:
            return
    assert results[0] == results[1]


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_every_time_of_day_is_read_back(hour: int, minute: int, second: int) -> None:
    assert values.time_of_day(f"{hour}:{minute:02}") == time(hour, minute)
    assert values.time_of_day(f"{hour:02}:{minute:02}:{second:02}") == time(hour, minute, second)


@given(days=st.integers(0, 30), hours=st.integers(0, 99), minutes=st.integers(0, 99), ms=st.integers(0, 99_999))
def test_every_length_of_time_is_the_sum_of_its_parts(days: int, hours: int, minutes: int, ms: int) -> None:
    read = values.duration("0s", "9999d")
    whole = timedelta(days=days, hours=hours, minutes=minutes, milliseconds=ms)
    assert read(f"{days}d{hours}h{minutes}m{ms / 1000:.3f}s") == whole
    assert read(f"{days}d{hours}h{minutes}m{ms}ms") == whole


@given(st.text(max_size=30))
def test_no_text_makes_a_reader_of_values_fail_otherwise(text: str) -> None:
    for read in (values.time_of_day, values.day, values.moment, values.weekdays, values.identifier, values.flag,
                 values.mail_address, values.phone, values.url("http"), values.whole(0, 9), values.number(0, 9),
                 values.duration("1s", "1h")):  # fmt: skip
        with contextlib.suppress(ValueError):
            read(text)
