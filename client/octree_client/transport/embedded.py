"""A daemon of one's own: started for a viewer or a script, as a process, and ended with it.

The daemon holds the other end of a pipe (its lifeline) and ends when that is closed, so it never outlives us, however
we end. If it dies first, it is started again, a bounded number of times.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octree_protocol.errors import OctreeError

log = logging.getLogger("octree.embedded")

#: Restarts within `_RESTART_SECONDS` before we stop trying: it dies of something that a restart does not cure.
_RESTARTS_MOST = 5
_RESTART_SECONDS = 60.0


class DaemonDied(OctreeError):
    """The daemon that we started ended by itself; the text has its last words, `exit_code` what it ended with."""

    def __init__(self, reason: str, exit_code: int = 1) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class EmbeddedDaemon:
    """One ``octree-serve`` process.

    Parameters
    ----------
    datasets
        Name to source; a source is a location, or a mapping with ``source`` and options.
    config
        A configuration file to start from, or None.
    settings
        Sections of the configuration that override it, e.g. ``{"memory": {"arena_bytes": "256MiB"}}``. Only without
        `config`.
    """

    def __init__(
        self,
        datasets: Mapping[str, Any],
        config: Path | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="octree-view-")
        folder = Path(self._folder.name)
        self.address = f"ipc://{folder}/{secrets.token_hex(4)}.sock"
        self._words = folder / "stderr.txt"
        self._arguments = ["--bind", self.address]
        if config is not None:
            self._arguments += ["--config", str(config), *(f"{n}={s}" for n, s in datasets.items())]
        else:
            written = folder / "octree.json"
            written.write_text(json.dumps({**(settings or {}), "datasets": dict(datasets)}))
            self._arguments += ["--config", str(written)]
        self._starts: list[float] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self.start()

    @property
    def pid(self) -> int:
        """Of the daemon that runs now."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the daemon, or start it again if it has died. Harmless while it runs."""
        if self.running():
            return
        now = time.monotonic()
        self._starts = [t for t in self._starts if now - t < _RESTART_SECONDS]
        if len(self._starts) >= _RESTARTS_MOST:
            log.error("the daemon died %d times within a minute: %s", len(self._starts), self.last_words())
            return
        self._starts.append(now)
        self._drop_lifeline()
        read, self._lifeline = os.pipe()
        try:
            with self._words.open("ab") as words:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "octree_loader.cli", *self._arguments, "--lifeline", str(read)],
                    pass_fds=(read,),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=words,
                    # Ctrl-C is for us; the daemon ends when we do. Not a session of its own: Linux shares the processor
                    # out among sessions first, and its workers must give way to our frames.
                    process_group=0,
                )
        finally:
            os.close(read)

    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def exit_status(self) -> int | None:
        """What the process ended with; None while it runs."""
        return None if self._process is None else self._process.poll()

    def last_words(self) -> str:
        """The end of what the daemon wrote to its standard error."""
        try:
            lines = self._words.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-12:]).removeprefix("octree-serve: ")

    def close(self) -> None:
        """End the daemon and wait for it; by force after some seconds."""
        self._drop_lifeline()
        if self._process is not None:
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()

    def _drop_lifeline(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
