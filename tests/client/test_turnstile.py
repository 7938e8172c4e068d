"""While a frame is drawn, the threads of connections wait; but not for ever."""

from __future__ import annotations

import threading
import time

from octree_client import turnstile


def test_who_comes_while_it_is_closed_passes_when_it_opens() -> None:
    passed = threading.Event()

    def come() -> None:
        turnstile.pass_through()
        passed.set()

    thread = threading.Thread(target=come)
    with turnstile.closed():
        began = time.monotonic()
        thread.start()
        # Either he waits, or the machine stood still for longer than anybody has to wait.
        assert not passed.is_set() or time.monotonic() - began >= turnstile._MOST
    assert passed.wait(5.0)
    thread.join()


def test_nobody_waits_for_a_frame_that_does_not_end() -> None:
    with turnstile.closed():
        turnstile.pass_through()


def test_open_it_holds_nobody_up_and_a_frame_that_fails_opens_it() -> None:
    try:
        with turnstile.closed():
            raise ValueError
    except ValueError:
        pass
    began = time.monotonic()
    for _ in range(1000):
        turnstile.pass_through()
    assert time.monotonic() - began < 1000 * turnstile._MOST
