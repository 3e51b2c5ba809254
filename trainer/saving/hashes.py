"""Hashes of the base model's file, taken in the background so that no step waits for them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from trainer.contract.rundir import write_whole

_BLOCK = 1 << 22


@dataclass(frozen=True)
class Hashes:
    """`short`: the first 8 hex digits of SHA-256 over 64 KiB at 1 MiB (Kohya's old model hash). `sha256`: of the whole
    file. Both "" where there is no one file to hash: a diffusers folder or a hub id."""

    short: str = ""
    sha256: str = ""


NO_HASHES = Hashes()


def hash_file(path: Path) -> Hashes:
    """Both hashes of a file, reading it once."""
    whole = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(0x100000)
        short = hashlib.sha256(file.read(0x10000)).hexdigest()[:8]
        file.seek(0)
        while block := file.read(_BLOCK):
            whole.update(block)
    return Hashes(short, whole.hexdigest())


class BackgroundHash:
    """Hashes a file in a thread of its own. `memory`: a JSON file that remembers results by path, size and time of
    change, or None."""

    def __init__(self, path: str, memory: Path | None = None) -> None:
        self._path, self._memory = Path(path).expanduser(), memory
        self._result = NO_HASHES
        self._thread = threading.Thread(target=self._work, name="model-hash", daemon=True)
        if path and self._path.is_file():
            self._thread.start()

    def result(self) -> Hashes:
        """The hashes, waited for if they are not ready; none where the file cannot be read."""
        if self._thread.ident is not None:
            self._thread.join()
        return self._result

    def _work(self) -> None:
        with contextlib.suppress(OSError):
            status = self._path.stat()
            key = f"{self._path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
            known = self._remembered()
            if key in known:
                self._result = Hashes(**known[key])
                return
            self._result = hash_file(self._path)
            if self._memory is not None:
                write_whole(self._memory, json.dumps({**known, key: asdict(self._result)}, indent=1))

    def _remembered(self) -> dict[str, dict[str, str]]:
        try:
            content: dict[str, dict[str, str]] = json.loads(self._memory.read_text("utf-8")) if self._memory else {}
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
