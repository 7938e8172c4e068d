"""Reads a Containerfile, and carries its steps out without a container: in a chroot over a copy of this machine.

The copy is an overlay in a mount namespace of its own, so nothing of the machine changes. What differs from a build:
the base image is this machine, and the registry of images is not asked.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """One instruction: its word, what stands behind it, and the stage (0, 1, ...) that it belongs to."""

    word: str
    rest: str
    stage: int


def read_containerfile(path: Path) -> list[Step]:
    """The steps, continued lines put together."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    steps: list[Step] = []
    stage = -1
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            word, rest = line.split(None, 1)
            stage += word == "FROM"
            steps.append(Step(word, rest.strip(), stage))
    return steps


def only(steps: list[Step], word: str) -> str:
    """What stands behind the last instruction of a word in the last stage."""
    last = steps[-1].stage
    return [step.rest for step in steps if step.word == word and step.stage == last][-1]


def environment_of(steps: list[Step]) -> dict[str, str]:
    """What the last stage sets."""
    return dict(pair.split("=", 1) for pair in shlex.split(only(steps, "ENV")))


def command_of(steps: list[Step]) -> list[str]:
    """What the container runs."""
    return [*json.loads(only(steps, "ENTRYPOINT")), *json.loads(only(steps, "CMD"))]


def build_script(steps: list[Step], context: Path, work: Path, python: str) -> str:
    """A shell script for ``unshare --mount``: after it, ``work/stage1`` is the image; `python` is that of its base."""
    lines = ["set -eu", f"mount -t tmpfs -o mode=0755 none {work}"]
    workdir = "/"
    for step in steps:
        root = f"{work}/stage{step.stage}"
        if step.word == "FROM":
            upper, over = f"{work}/upper{step.stage}", f"{work}/over{step.stage}"
            lines += [
                f"mkdir -p {root} {upper} {over}",
                f"mount -t overlay overlay -o lowerdir=/,upperdir={upper},workdir={over} {root}",
                f"mount --bind /proc {root}/proc && mount --bind /dev {root}/dev",
            ]
            # The interpreter of a developer may lie in a home; who runs in the image must reach it.
            lines += [f"chmod go+x {root}{folder}" for folder in list(Path(python).parents)[:-1]]
            workdir = "/"
        elif step.word == "WORKDIR":
            workdir = step.rest
            lines.append(f"mkdir -p {root}{workdir}")
        elif step.word == "COPY":
            *sources, target = step.rest.split()
            origin = str(context)
            if sources[0].startswith("--from="):
                origin, sources = f"{work}/stage0", sources[1:]
            place = target if target.startswith("/") else f"{workdir}/{target.removeprefix('./')}"
            for source in sources:
                # A folder's content is copied, a file under its name if the target ends in /.
                whole, into = f"{origin}/{source}", f"{root}{place}"
                copy = f"mkdir -p {into} && cp -a {whole}/. {into}/"
                lines.append(f"if [ -d {whole} ]; then {copy}; else cp {whole} {into}; fi")
        elif step.word == "RUN":
            command = shlex.quote(f"cd {workdir} && {step.rest}")
            lines.append(
                f"env HOME=/root PATH={Path(python).parent}:/usr/bin:/bin:/usr/sbin:/sbin chroot {root} sh -c {command}"
            )
    return "\n".join(lines) + "\n"
