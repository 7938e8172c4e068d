"""What a library may take to decode one thing: enforced, given back, and shared by threads."""

from __future__ import annotations

import resource
import threading

import numpy as np
import pytest

from octree_loader.sources import allowance
from octree_loader.sources.allowance import memory_allowance
from octree_loader.sources.base import SourceError

BEFORE = resource.getrlimit(resource.RLIMIT_DATA)


def grow(nbytes: int) -> None:
    np.ones(nbytes, np.uint8)


@pytest.fixture(autouse=True)
def small_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "SLACK_BYTES", 32 << 20)


def test_what_decodes_to_more_is_refused_and_the_limit_given_back() -> None:
    with (
        pytest.raises(SourceError, match=r"tile 3 decodes to far more than the 1000 bytes"),
        memory_allowance(1000, "tile 3"),
    ):
        grow(512 << 20)
    assert resource.getrlimit(resource.RLIMIT_DATA) == BEFORE
    grow(512 << 20)


def test_what_is_honest_is_let_through() -> None:
    with memory_allowance(64 << 20, "tile 3"):
        grow(128 << 20)


def test_an_allowance_within_another_adds_to_it_and_the_last_gives_it_back() -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with memory_allowance(1000, "the other"):
            inside.set()
            leave.wait(20)

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert inside.wait(20)
        with memory_allowance(100 << 20, "tile 3"):
            grow(200 << 20)
        assert resource.getrlimit(resource.RLIMIT_DATA) != BEFORE
    finally:
        leave.set()
        other.join(20)
    assert resource.getrlimit(resource.RLIMIT_DATA) == BEFORE


def test_what_else_goes_wrong_stays_what_it_is() -> None:
    with pytest.raises(KeyError), memory_allowance(1000, "tile 3"):
        raise KeyError("x")
    assert resource.getrlimit(resource.RLIMIT_DATA) == BEFORE
