"""The Slurm script, run as a job would be: with an ``srun`` that does what it says on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.system.daemons import ROOT, Peer, environment, wait_for

SCRIPT = ROOT / "deploy" / "slurm" / "octree-serve.sbatch"


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Path]:
    """A folder of a job: its programs, its configuration, its scratch."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "octree-serve").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m octree_loader.cli "$@"\n')
    # Drops its own options; says what it was asked to run, and runs it.
    srun = f'#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\necho "$@" >> {tmp_path}/srun.txt\nexec "$@"\n'
    (programs / "srun").write_text(srun)
    for program in programs.iterdir():
        program.chmod(0o755)
    shm = Path("/dev/shm") / f"octest-slurm-{os.getpid()}"
    shm.mkdir()
    np.save(tmp_path / "image.npy", np.ones((64, 64), np.uint8))
    memory = {"arena_bytes": "16MiB", "directory": str(shm), "cache_bytes": 0}
    datasets = {"image": "image.npy", "gone": "gone.npy"}
    (tmp_path / "octree.json").write_text(json.dumps({"datasets": datasets, "memory": memory}))
    yield tmp_path
    shutil.rmtree(shm)


def _start(job: Path, **variables: str) -> subprocess.Popen[bytes]:
    env = {**environment(), "SLURM_JOB_ID": "42", "TMPDIR": str(job), "SLURM_CPUS_PER_TASK": "1", **variables}
    env["PATH"] = f"{job / 'bin'}:{Path(sys.executable).parent}:{env['PATH']}"
    with (job / "said.txt").open("w") as said:
        return subprocess.Popen(
            ["bash", SCRIPT, job / "octree.json"],
            env=env,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _said(job: Path) -> str:
    return (job / "said.txt").read_text()


def test_bash_can_read_it_and_slurm_finds_its_options() -> None:
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0
    text = SCRIPT.read_text()
    options = re.findall(r"^#SBATCH --([a-z-]+)", text, re.MULTILINE)
    assert {"nodes", "mem", "time", "signal", "output"} <= set(options)
    # Slurm stops looking for them at the first command.
    assert text.index("set -euo") > text.rindex("#SBATCH")


def test_a_job_serves_says_how_to_reach_it_and_ends_in_good_order(job: Path) -> None:
    running = _start(job)
    try:
        wait_for(lambda: "octree-serve: serving" in _said(job) and "ssh -N" in _said(job), 30.0, "the daemon")
        said = _said(job)
        assert "some datasets do not open" in said
        found = re.search(r"ssh -N -L \S+?:(\S+) ", said)
        assert found is not None
        socket = Path(found[1])
        assert socket.parent.stat().st_mode & 0o077 == 0
        assert "octree-view --connect ipc:///tmp/octree-42.sock" in said
        with Peer(f"ipc://{socket}") as peer:
            key = peer.describe("image").key(0, (0, 0))
            peer.want([key])
            peer.until(lambda: key in peer.ready)
        running.send_signal(signal.SIGTERM)  # as Slurm does, a minute before the end of the time
        assert running.wait(20.0) == 143
        assert "ended (SIGTERM)" in _said(job)
        assert not list(job.glob("octree-42-*"))
    finally:
        running.kill()
        running.wait()


def test_a_job_with_a_mistaken_configuration_ends_at_once(job: Path) -> None:
    (job / "octree.json").write_text(json.dumps({"colour": "red"}))
    running = _start(job)
    assert running.wait(20.0) == 78
    assert "colour" in _said(job)
    assert not list(job.glob("octree-42-*"))


@pytest.mark.soak  # half a minute
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_job_with_a_cluster_starts_scheduler_and_workers_with_tls(job: Path) -> None:
    tls = job / "tls"
    subprocess.run(
        [ROOT / "deploy" / "compose" / "certificates.sh", tls], check=True, capture_output=True, timeout=60.0
    )
    running = _start(job, OCTREE_DASK="1", OCTREE_TLS=str(tls), OCTREE_DASK_PORT="0" + str(20000 + os.getpid() % 9000))
    try:
        wait_for(lambda: "Registered to" in _said(job), 60.0, "a worker")
        assert "Scheduler at:" in _said(job)
        assert "tcp://" not in "".join(line for line in _said(job).splitlines() if "Scheduler at" in line)
        assert (job / "srun.txt").read_text().startswith("dask worker tls://")
        running.send_signal(signal.SIGTERM)
        assert running.wait(40.0) == 143
    finally:
        running.kill()
        running.wait()
