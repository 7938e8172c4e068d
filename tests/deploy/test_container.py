"""The Containerfile: what it says fits the project; and (in soak) its steps carried out, and its image run.

There need be no container engine: see `containerfile` for what stands in for one.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.deploy.containerfile import build_script, command_of, environment_of, only, read_containerfile
from tests.system.daemons import ROOT, environment

from octree_loader.cli import COMMANDS
from octree_loader.config import load_config
from octree_loader.free_memory import free_bytes

FOLDER = ROOT / "deploy" / "container"
STEPS = read_containerfile(FOLDER / "Containerfile")


def test_it_runs_as_nobody_with_what_the_project_has() -> None:
    assert only(STEPS, "USER") == "10001:10001"
    entry = command_of(STEPS)
    assert entry[0] == "octree-serve"
    assert entry[1] == "--config"
    assert environment_of(STEPS)["PATH"].startswith("/opt/octree-serve/bin:")
    probe = json.loads(only(STEPS, "HEALTHCHECK").partition("CMD ")[2])
    assert probe[:2] == ["octree-serve", next(name for name in COMMANDS if name == "probe")]
    for step in STEPS:
        if step.word == "COPY" and not step.rest.startswith("--from"):
            *sources, _ = step.rest.split()
            for source in sources:
                assert (ROOT / source).exists(), source


def test_what_it_removes_is_the_viewers_and_nobody_elses() -> None:
    removed = re.search(r"uninstall .*?bin/python (.*)", next(s.rest for s in STEPS if "uninstall" in s.rest))
    assert removed is not None
    names = set(removed[1].split()) - {"uv", "pip", "pyqt5-qt5", "pyqt5-sip"}
    wanted = re.search(r"# the viewer\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    assert wanted is not None
    viewers = {name.lower() for name in re.findall(r'"([A-Za-z0-9]+)', wanted[1])}
    assert names <= viewers, names - viewers


def test_the_configuration_inside_answers_the_health_check() -> None:
    config = load_config(FOLDER / "octree.json")
    assert config.serve.health == "127.0.0.1:9777"  # where `octree-serve probe` asks by itself
    # Said outright, so that a container with 64 MiB does not quietly serve from a small arena.
    assert config.memory.arena_bytes == 2 << 30
    assert config.memory.directory == "/dev/shm"


def _in_a_container(script: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root for a mount namespace")
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_with_the_64_mib_of_shared_memory_of_docker_it_says_what_to_do(tmp_path: Path) -> None:
    config = {"memory": {"directory": "/dev/shm", "arena_bytes": "256MiB"}, "serve": {"bind": [f"ipc://{tmp_path}/d"]}}
    (tmp_path / "octree.json").write_text(json.dumps(config))
    serve = f"{shlex.quote(sys.executable)} -m octree_loader.cli --config {tmp_path}/octree.json"
    ended = _in_a_container(f"mount -t tmpfs -o size=64m none /dev/shm && exec {serve}")
    if ended.stderr.startswith(("mount:", "unshare:")):
        pytest.skip("this machine lets no shared memory be mounted")
    assert ended.returncode == 73, ended.stderr
    for words in ("256 MiB asked for, 64 MiB free in /dev/shm", "docker run --shm-size=2g", "memory.arena_bytes"):
        assert words in ended.stderr
    checked = _in_a_container(f"mount -t tmpfs -o size=64m none /dev/shm && exec {serve} --check")
    assert checked.returncode == 73
    assert "--shm-size" in checked.stdout


@pytest.mark.soak
def test_its_steps_are_carried_out_and_its_image_serves(tmp_path: Path) -> None:
    """Ten minutes where the packages must be downloaded. The image is this machine's Python over an overlay."""
    if free_bytes("/dev/shm") < 3 << 30:
        pytest.skip("needs 3 GiB of shared memory")
    work, context = tmp_path / "work", tmp_path / "context"
    work.mkdir()
    shutil.copytree(ROOT, context, ignore=shutil.ignore_patterns(".venv", ".git", "build", "*.zarr", "shared", "tests"))
    image = f"{work}/stage1"
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment_of(STEPS).items())
    enter = f"env -i {variables} $(command -v chroot) --userspec={only(STEPS, 'USER')} {image}"
    serve = shlex.join(command_of(STEPS))
    script = (
        build_script(STEPS, context, work, os.path.realpath(sys.executable))
        + f"""
mkdir -p {image}/data {image}/tmp
umount {image}/dev && mount -t tmpfs -o mode=0755 none {image}/dev && mkdir {image}/dev/shm
for device in null zero urandom random; do
    touch {image}/dev/$device; mount --bind /dev/$device {image}/dev/$device
done
mount -t tmpfs -o size=64m,mode=1777 none {image}/dev/shm
mount -t tmpfs -o mode=0700,uid=10001 none {image}/run/octree
mount -t tmpfs none {image}/tmp
mount -o remount,ro {image}
! touch {image}/etc/written 2>/dev/null
echo "== as it is"; {enter} id -u
{enter} {serve} && exit 1; test $? = 73
mount -o remount,size=3g {image}/dev/shm
{enter} {serve} --check
{enter} {serve} & daemon=$!
for _ in $(seq 200); do {enter} octree-serve probe readyz && break; sleep 0.1; done
{enter} octree-serve probe livez
{enter} octree-serve status
{enter} dask --version
kill $daemon; wait $daemon
echo "== ended in good order"
"""
    )
    ended = _in_a_container(script, timeout=900.0)
    assert ended.returncode == 0, (ended.stdout[-3000:], ended.stderr[-3000:])
    assert "== as it is\n10001" in ended.stdout
    assert "docker run --shm-size" in ended.stderr
    assert '"ready": true' in ended.stdout
    assert ended.stdout.rstrip().endswith("== ended in good order")
