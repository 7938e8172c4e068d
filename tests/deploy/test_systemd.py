"""The units: read by systemd's own tools, and run by a real user manager in a mount namespace of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.system.daemons import ROOT, environment, wait_for

from octree_loader.status import ask_status

SYSTEM = ROOT / "deploy" / "systemd" / "octree-serve.service"
USER = ROOT / "deploy" / "systemd" / "user" / "octree-serve.service"

_MANAGER = "/usr/lib/systemd/systemd"
_ANALYZE = shutil.which("systemd-analyze")


def _settings(unit: Path) -> dict[str, str]:
    lines = [line for line in unit.read_text().splitlines() if re.match(r"[A-Za-z]+=", line)]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a user manager: short, since sockets lie below."""
    for name in ("run", "home/.config/systemd/user"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "run").chmod(0o700)
    return tmp_path


def _manager_environment(home: Path) -> dict[str, str]:
    own = {name: value for name, value in environment().items() if not name.startswith("XDG_")}
    return {**own, "XDG_RUNTIME_DIR": str(home / "run"), "HOME": str(home / "home")}


@pytest.mark.skipif(_ANALYZE is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", [SYSTEM, USER], ids=["system", "user"])
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, home: Path) -> None:
    assert _ANALYZE is not None
    copied = home / "octree-serve.service"
    copied.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text(), flags=re.MULTILINE))
    manager = ["--user"] if unit is USER else []
    checked = subprocess.run(
        [_ANALYZE, *manager, "verify", "--man=no", str(copied)],
        env=_manager_environment(home),
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    ours = [line for line in checked.stderr.splitlines() if "octree-serve" in line]
    assert checked.returncode == 0, checked.stderr
    assert ours == []


@pytest.mark.skipif(_ANALYZE is None, reason="systemd is not installed")
def test_the_system_unit_is_hardened(home: Path) -> None:
    assert _ANALYZE is not None
    copied = home / "octree-serve.service"
    shutil.copy(SYSTEM, copied)
    rated = subprocess.run(
        [_ANALYZE, "security", "--offline=yes", "--no-pager", "--threshold=25", str(copied)],
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    if "offline" in rated.stderr:
        pytest.skip("this systemd rates no unit that does not run")
    assert rated.returncode == 0, rated.stdout[-300:]


def test_restarts_follow_the_exit_codes_that_there_are() -> None:
    for unit in (SYSTEM, USER):
        settings = _settings(unit)
        assert settings["Type"] == "notify"
        assert settings["Restart"] == "on-failure"
        # Usage and configuration; what may pass is tried again.
        assert settings["RestartPreventExitStatus"].split() == ["2", "78"]
        assert float(settings["WatchdogSec"]) > 2 * 30  # longer than anything that the loop waits for
        assert "--config" in settings["ExecStart"]


# --- a real manager --------------------------------------------------------------------------------------------------


class Manager:
    """A ``systemd --user`` of our own. It asks whether systemd runs the machine; in a mount namespace it does."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = _manager_environment(home)
        begin = (
            "mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec "
            + _MANAGER
            + " --user --unit=basic.target"
        )
        self._said = (home / "manager.log").open("wb")
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", begin],
            env={**self.env, "SYSTEMD_LOG_TARGET": "console"},
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def up(self) -> bool:
        """Whether it answers; False if it cannot run here."""
        until = time.monotonic() + 10.0
        while time.monotonic() < until and self._process.poll() is None:
            if (self.home / "run" / "systemd" / "private").exists() and self.ctl("is-system-running").stdout.strip():
                return True
        return False

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["systemctl", "--user", *arguments], env=self.env, capture_output=True, text=True, timeout=60.0, check=False
        )

    def show(self, name: str) -> str:
        return self.ctl("show", "octree-serve", f"--property={name}", "--value").stdout.strip()

    def install(self, unit: Path, config: object, changes: str = "") -> None:
        folder = self.home / "home" / ".config" / "systemd" / "user"
        shutil.copy(unit, folder / "octree-serve.service")
        (self.home / "octree.json").write_text(json.dumps(config))
        command = f"{sys.executable} -m octree_loader.cli --config {self.home / 'octree.json'}"
        dropin = folder / "octree-serve.service.d"
        dropin.mkdir(exist_ok=True)
        path = environment()["PYTHONPATH"]
        (dropin / "test.conf").write_text(
            f"[Service]\nExecStart=\nExecStart={command}\nEnvironment=PYTHONPATH={path}\nRestartSec=100ms\n"
            f"StandardOutput=file:{self.home}/said\nStandardError=append:{self.home}/said\n{changes}"
        )
        assert self.ctl("daemon-reload").returncode == 0

    def words(self) -> str:
        said = self.home / "said"
        return (said.read_text() if said.exists() else "") + (self.home / "manager.log").read_text(errors="replace")

    def end(self) -> None:
        if self._process.poll() is None:
            self.ctl("stop", "octree-serve")
            self._process.terminate()
            try:
                self._process.wait(10.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._said.close()


@pytest.fixture
def manager(home: Path) -> Iterator[Manager]:
    if os.geteuid() != 0 or not os.path.exists(_MANAGER) or shutil.which("unshare") is None:
        pytest.skip("needs systemd, and root for a mount namespace")
    made = Manager(home)
    try:
        if not made.up():
            pytest.skip(f"systemd --user does not run here: {made.words()[-300:]}")
        yield made
    finally:
        made.end()


@pytest.fixture
def config(home: Path, shm: Path) -> dict[str, object]:
    np.save(home / "image.npy", np.zeros((64, 64), np.uint8))
    return {
        "datasets": {"image": str(home / "image.npy"), "gone": str(home / "gone.npy")},
        "memory": {"arena_bytes": "16MiB", "directory": str(shm), "cache_bytes": 0},
        "serve": {"bind": [f"ipc://{shm}/d.sock"]},
    }


@pytest.fixture
def shm() -> Iterator[Path]:
    place = Path("/dev/shm") / f"octest-{os.getpid()}"
    place.mkdir(mode=0o700)
    yield place
    shutil.rmtree(place)


def test_systemd_starts_it_watches_it_and_stops_it(manager: Manager, config: dict[str, object], shm: Path) -> None:
    manager.install(USER, config, "WatchdogSec=3\nWatchdogSignal=SIGKILL\n")
    started = manager.ctl("start", "octree-serve")
    assert started.returncode == 0, manager.words()
    # `start` returned because the daemon said that it is ready; what is not is in its status.
    assert manager.show("ActiveState") == "active"
    assert "1 of 2 datasets open; dataset 'gone' does not open" in manager.show("StatusText")
    first = ask_status(f"ipc://{shm}/d.sock").pid
    assert manager.show("MainPID") == str(first)

    os.kill(first, signal.SIGSTOP)  # a daemon that hangs
    wait_for(lambda: manager.show("NRestarts") == "1" and manager.show("ActiveState") == "active", 30.0, "the watchdog")
    assert ask_status(f"ipc://{shm}/d.sock").pid != first
    assert len(list(shm.glob("*.arena"))) == 1  # that of the one that was killed is gone

    assert manager.ctl("stop", "octree-serve").returncode == 0
    assert manager.show("Result") == "success"
    assert list(shm.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "status", "again"),
    [({"colour": "red"}, "78", False), ({"memory": {"arena_bytes": 1 << 45}}, "73", True)],
    ids=["a mistake in the configuration", "no memory"],
)
def test_only_what_may_pass_is_tried_again(
    manager: Manager, config: dict[str, object], change: dict[str, object], status: str, again: bool
) -> None:
    manager.install(USER, {**config, **change})
    assert manager.ctl("start", "octree-serve").returncode != 0
    wait_for(lambda: manager.show("ExecMainStatus") == status, 20.0, manager.words())
    if again:
        wait_for(lambda: int(manager.show("NRestarts")) >= 1, 20.0, manager.words())
    else:
        wait_for(lambda: manager.show("ActiveState") == "failed", 20.0, manager.words())
        assert manager.show("NRestarts") == "0"


def test_it_serves_inside_of_the_system_units_walls(
    manager: Manager, config: dict[str, object], shm: Path, home: Path
) -> None:
    """With the restrictions of the system unit, less those that need its user or that containers do not allow."""
    changes = (
        f"User=\nGroup=\nBindReadOnlyPaths={home} {ROOT}\nReadWritePaths={shm}\n"
        "ProtectKernelLogs=no\nProtectKernelTunables=no\n"
    )
    manager.install(SYSTEM, config, changes)
    started = manager.ctl("start", "octree-serve")
    if started.returncode != 0 and manager.show("ExecMainStatus") == "226":
        pytest.skip("this machine lets no mount namespace be made as the unit asks")
    assert started.returncode == 0, manager.words()
    pid = ask_status(f"ipc://{shm}/d.sock").pid
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert int(status["CapBnd"], 16) == 0
    # A worker runs there too: it opens the dataset, and reads.
    assert any(d.name == "image" and d.state == "open" for d in ask_status(f"ipc://{shm}/d.sock").datasets)
    mounts = Path(f"/proc/{pid}/mounts").read_text()
    assert re.search(r"^\S+ / \S+ ro[, ]", mounts, re.MULTILINE), mounts
