"""The files of a configuration folder: which there are, which are missing, which would be overlooked."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from controller.settings import source, yaml_source
from controller.settings.problems import Problems
from controller.settings.sheet import Sheet
from controller.settings.suggest import did_you_mean, shown
from controller.settings.yaml_source import Map

FILES = {
    "site.yaml": "it says who and where this site is",
    "nodes.yaml": "it names communes and nodes",
    "broadcasts.yaml": "it says what sounds when; 'broadcasts: []' if nothing shall",
    "faults.yaml": "it says what counts as a fault; 'faults: []' if nothing shall",
    "alerts.yaml": "it says who is told; 'people: []' if nobody shall be",
}
OPTIONAL = ("calendar.yaml",)
MAX_FILES = 500
"""In broadcasts/."""


@dataclass(slots=True)
class Folder:
    """The parsed files by name (`broadcasts/xa.yaml`), and what all of their bytes hash to."""

    path: Path
    name: str
    problems: Problems
    sheets: dict[str, Sheet] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    _contents: dict[str, str] = field(default_factory=dict)

    def digest(self, beside: set[Path]) -> str:
        """SHA-256 over all files read, and over size and time of change of those `beside` them."""
        parts = dict(self._contents)
        for path in beside:
            status = path.stat() if path.exists() else None
            parts[str(path)] = f"{status.st_size}:{status.st_mtime_ns}" if status else "gone"
        lines = "\n".join(f"{name}\0{part}" for name, part in sorted(parts.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def named(self, file: str) -> str:
        """`file` as messages call it."""
        return os.path.join(self.name, file)

    def read(self, file: str) -> None:
        """Parse one file into `sheets`; its mistakes are recorded."""
        path = self.path / file
        self.files.append(path)
        try:
            content = source.read(path)
            self._contents[file] = hashlib.sha256(content).hexdigest()
            parsed = yaml_source.parse(source.decode(content))
        except source.Unusable as error:
            missing = file in FILES and error.message == "is missing"
            message = f"is missing: {FILES[file]}" if missing else error.message
            self.problems.add(self.named(file), *error.place, message)
            return
        for flaw in parsed.flaws:
            self.problems.add(self.named(file), *flaw.place, flaw.message)
        if isinstance(parsed.root, Map):
            self.sheets[file] = Sheet(self.named(file), path, parsed.root, self.problems)
        else:
            message = "is empty" if parsed.root is None else f"must be 'key: value' blocks, not {shown(parsed.root)}"
            self.problems.add(self.named(file), *parsed.place, message)


def open_folder(folder: str | Path, problems: Problems) -> Folder:
    """Read all files of the configuration in `folder`; mistakes are recorded."""
    whole = Folder(Path(os.path.abspath(folder)), str(folder), problems)
    entries = _entries(whole, "")
    if entries is None:
        return whole
    for file in (*FILES, *(name for name in OPTIONAL if name in entries)):
        whole.read(file)
    _refuse_unknown(whole, entries)
    if "broadcasts" in entries:
        _read_broadcasts(whole)
    return whole


def _entries(whole: Folder, inner: str) -> list[str] | None:
    try:
        return sorted(name for name in os.listdir(whole.path / inner) if not name.startswith("."))
    except OSError as error:
        name = whole.named(inner) if inner else whole.name
        reason = {FileNotFoundError: "there is no such folder", NotADirectoryError: "is a file, not a folder"}
        message = reason.get(type(error), f"cannot be read: {(error.strerror or '').lower()}")
        whole.problems.add(name, 1, 1, message)
        return None


def _refuse_unknown(whole: Folder, entries: list[str]) -> None:
    for name in entries:
        if name.lower().endswith((".yaml", ".yml")) and name not in (*FILES, *OPTIONAL):
            hint = did_you_mean(name, (*FILES, *OPTIONAL))
            whole.problems.add(whole.named(name), 1, 1, f"nothing reads a file of this name{hint}")


def _read_broadcasts(whole: Folder) -> None:
    entries = _entries(whole, "broadcasts")
    for number, name in enumerate(entries or ()):
        file = os.path.join("broadcasts", name)
        if number >= MAX_FILES:
            whole.problems.add(whole.named(file), 1, 1, f"more than {MAX_FILES} files in one folder")
            return
        if name.endswith(".yaml"):
            whole.read(file)
        elif name.lower().endswith((".yml", ".yaml")) or (whole.path / file).is_dir():
            whole.problems.add(whole.named(file), 1, 1, "is not read: only files that end in .yaml are")
