"""A guard around every test: what it leaves behind fails it, by name. A pytest plugin.

Looked at before and after each test: our segments in ``/dev/shm``, child processes, threads that would keep the process
alive, and file descriptors. What the fixtures of sessions and modules hold outlives a test rightly, whenever they were
set up. A test that leaves something behind on purpose says so::

    @pytest.mark.leaves_behind("the segment of a killed daemon, which the next test finds")
"""

from __future__ import annotations

import gc
import multiprocessing.resource_tracker
import os
import re
import threading
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import psutil
import pytest

#: How our segments are called, and which daemon made one.
_PREFIX = "octree-serve-"
_OWNER = re.compile(r"-(\d+)-[0-9a-f]{16}\.arena$")

#: Seconds that a child or a thread gets to end after a test: it was told to, and the machine may be busy.
_GRACE = 2.0

#: Descriptors that a session may gain beyond what its tests close. Libraries open some once, on first use, and never
#: close them (Qt's connection to the X server and its wake-up pipes, Mesa's device, a loop's epoll, ZeroMQ's event
#: descriptors, the resource tracker's pipe): a few for a process, not for a test. So the allowance is the session's,
#: and a test that leaks one descriptor in each of its cases uses it up.
_ALLOWANCE = 48

#: What a single test may take of it; and never a regular file.
_ALLOWANCE_PER_TEST = 24


class Holdings(NamedTuple):
    """What this process holds at one moment: names, process ids, threads; number, device and inode of descriptors."""

    segments: frozenset[str]
    children: frozenset[int]
    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[int, int, int]]


def holdings() -> Holdings:
    """What this process holds now. Costs about 0.1 ms; while it has children, 1 ms for each 70 processes running."""
    return Holdings(_segments(), _children(), _threads(), _descriptors())


def _segments() -> frozenset[str]:
    return frozenset(name for name in os.listdir("/dev/shm") if name.startswith(_PREFIX))


def _is_ours(segment: str) -> bool:
    """Whether a new segment may be this test's: not where its daemon runs and was not started by us."""
    owner = _OWNER.search(segment)
    beside = "OCTREE_TESTS_BESIDE" in os.environ
    if owner is None:
        return not beside
    try:
        process = psutil.Process(int(owner[1]))
        return os.getpid() in {process.pid, *(parent.pid for parent in process.parents())}
    except psutil.NoSuchProcess:
        # Gone without its owner. That of somebody else's daemon may just have been removed; beside another session of
        # tests, which kills daemons as well, nobody can tell whose it was.
        return not beside and os.path.exists(f"/dev/shm/{segment}")


def _children() -> frozenset[int]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return frozenset()  # the usual case, and a thousand times cheaper than to ask for names
    found = {child.pid for child in psutil.Process().children()}
    # Started by Python for the first shared memory or spawned process, for the rest of the session.
    found.discard(getattr(multiprocessing.resource_tracker._resource_tracker, "_pid", None) or 0)
    return frozenset(found)


def _threads() -> frozenset[threading.Thread]:
    return frozenset(thread for thread in threading.enumerate() if not thread.daemon)


def _descriptors() -> frozenset[tuple[int, int, int]]:
    # With device and inode: a number that was closed and given out again is another descriptor.
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            status = os.stat(int(name))
        except OSError:
            continue  # that of the listing itself
        found.append((int(name), status.st_dev, status.st_ino))
    return frozenset(found)


class Ledger:
    """What was there before the test that runs, and which descriptors earlier ones kept of those allowed."""

    def __init__(self) -> None:
        self.before = holdings()
        self.kept = 0
        self.by_test: list[str] = []

    def excuse(self, before: Holdings, after: Holdings) -> None:
        """What came between the two is not the test's."""
        gained = (now - then for then, now in zip(before, after, strict=True))
        self.before = Holdings(*(had | more for had, more in zip(self.before, gained, strict=True)))

    def left_behind(self, test: str) -> list[str]:
        """A line for each thing that a test left behind; empty if it is clean."""
        before = self.before
        children = [psutil.Process(pid) for pid in _children() - before.children if psutil.pid_exists(pid)]
        if children:
            _, children = psutil.wait_procs(children, timeout=_GRACE)
        threads = _threads() - before.threads
        for thread in threads:
            thread.join(_GRACE)
        return [
            *(f"shared memory /dev/shm/{name}" for name in sorted(_segments() - before.segments) if _is_ours(name)),
            *(f"process {child.pid}: {_command(child)}" for child in children),
            *(f"thread {thread.name!r}" for thread in threads if thread.is_alive()),
            *self._descriptors_left(before, test),
        ]

    def _descriptors_left(self, before: Holdings, test: str) -> list[str]:
        now = _descriptors()
        if len(now) > len(before.descriptors):
            gc.collect()  # what stands in a cycle is closed when the collector comes by, and that is no leak
            now = _descriptors()
        more = len(now) - len(before.descriptors)
        if more <= 0:
            return []
        new = [(number, _target(number)) for number, _, _ in sorted(now - before.descriptors)]
        if files := [f"file {target} (descriptor {number})" for number, target in new if os.path.isfile(target)]:
            return files
        self.kept += more
        self.by_test.append(f"{test} {more}")
        if more <= _ALLOWANCE_PER_TEST and self.kept <= _ALLOWANCE:
            return []
        named = ", ".join(f"{number} -> {target}" for number, target in new)
        return [f"{more} descriptors: {named}; kept in this session so far: {'; '.join(self.by_test)}"]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return "ended, and nobody waited for it"


def _target(number: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return "closed meanwhile"


_LEDGER = pytest.StashKey[Ledger]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "leaves_behind(reason): the leak guard does not look at this test")
    config.stash[_LEDGER] = Ledger()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    if fixturedef.scope == "function":
        return (yield)
    before = holdings()
    result = yield
    request.config.stash[_LEDGER].excuse(before, holdings())
    return result


@pytest.fixture(autouse=True)
def leak_guard(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves something behind. Autouse: set up before the test's own fixtures, taken down after."""
    if request.node.get_closest_marker("leaves_behind"):
        yield
        return
    ledger = request.config.stash[_LEDGER]
    ledger.before = holdings()
    yield
    if left := ledger.left_behind(request.node.name):
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)
