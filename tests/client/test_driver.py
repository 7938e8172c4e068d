"""The driver without an event loop: frames when they are due, wake-ups from other threads, bounds that hold."""

from __future__ import annotations

import threading
import time

from octree_client.driver import HeadlessDriver


def test_a_frame_is_drawn_when_it_is_due_and_once() -> None:
    driver, drawn = HeadlessDriver(), []
    driver.on_due = lambda: drawn.append(time.monotonic())
    due = time.monotonic() + 0.05
    driver.schedule(due)
    assert driver.wait(lambda: bool(drawn), 5.0)
    assert drawn[0] >= due
    assert not driver.wait(lambda: len(drawn) > 1, 0.02)


def test_the_last_word_about_the_next_frame_counts() -> None:
    driver, drawn = HeadlessDriver(), []
    driver.on_due = lambda: drawn.append(1)
    driver.schedule(0.0)
    driver.schedule(None)
    assert not driver.wait(lambda: bool(drawn), 0.02)


def test_a_wake_up_from_another_thread_is_heard_in_the_one_that_waits() -> None:
    driver, heard = HeadlessDriver(), []
    driver.on_wake = lambda: heard.append(threading.get_ident())
    threading.Thread(target=driver.wake).start()
    assert driver.wait(lambda: bool(heard), 5.0)
    assert heard == [threading.get_ident()]


def test_a_closed_driver_calls_nobody() -> None:
    driver, called = HeadlessDriver(), []
    driver.on_due = driver.on_wake = lambda: called.append(1)
    driver.schedule(0.0)
    driver.wake()
    driver.close()
    assert not driver.wait(lambda: bool(called), 0.02)
