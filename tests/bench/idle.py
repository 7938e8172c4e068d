"""What a daemon costs that nobody asks anything of: processor time, with its health endpoint on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from tests.bench.figures import Measurements
from tests.bench.sections import Options

import octree_client

#: How long it is watched. Seconds.
_WATCHED = 20.0

#: Of a core.
_BOUND = 0.5

#: As Prometheus and a kubelet would ask together. Seconds.
_PROBED = 10.0


def measure(options: Options) -> Measurements:
    """Without a client, with one that has a view open and does nothing, and while probes come."""
    found = Measurements()
    with tempfile.TemporaryDirectory(prefix="octbench-") as name:
        folder = Path(name)
        np.save(folder / "image.npy", np.zeros((2048, 2048), np.uint16))
        address = f"ipc://{folder}/d.sock"
        config = {
            "datasets": {"image": "image.npy"},
            "memory": {"arena_bytes": "64MiB"},
            "serve": {"bind": [address], "health": "127.0.0.1:0"},
        }
        (folder / "octree.json").write_text(json.dumps(config))
        command = [sys.executable, "-m", "octree_loader.cli", "--config", str(folder / "octree.json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
            try:
                assert daemon.stdout is not None
                lines = iter(daemon.stdout.readline, "")
                at = next(line for line in lines if "health at" in line).rpartition("//")[2].strip()
                for _ in range(min(options.repeat, 2)):  # a minute each, and processor time is no noisy thing
                    name = "idle daemon, no client: share of a core, workers included"
                    found.add(name, "%", _share(daemon.pid, ""), _BOUND)
                    with octree_client.connect(address) as session:
                        assert session.dataset("image").levels[0][:256, :256].shape == (256, 256)
                        found.add("the same with one client", "%", _share(daemon.pid, ""), _BOUND)
                        note = f"/readyz and /metrics every {_PROBED:g} s"
                        found.add("the same with one client and probes", "%", _share(daemon.pid, at), _BOUND, note=note)
            finally:
                daemon.terminate()
                daemon.communicate(timeout=30.0)
    return found


def _share(pid: int, probed: str) -> float:
    """Percent of a core that a process and all below it take."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    _settle(family)
    before, began = _spent(family), time.monotonic()
    while (now := time.monotonic()) < began + _WATCHED:
        if probed:
            for question in ("readyz", "metrics"):
                ask = [sys.executable, "-m", "octree_loader.cli", "probe", question, "--at", probed]
                subprocess.run(ask, env=os.environ, check=True, stdout=subprocess.DEVNULL)
        time.sleep(min(_PROBED, max(0.0, began + _WATCHED - now)))
    return (_spent(family) - before) / (time.monotonic() - began) * 100


def _settle(family: list[psutil.Process]) -> None:
    """Wait until what was begun is done: levels that are made, an arena that is populated."""
    for _ in range(60):
        before = _spent(family)
        time.sleep(0.5)
        if _spent(family) - before < 0.01:
            return


def _spent(family: list[psutil.Process]) -> float:
    """Seconds of processor time, threads that have ended included; the kernel tells them in steps of 10 ms."""
    return sum(sum(process.cpu_times()[:2]) for process in family)
