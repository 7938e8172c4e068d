"""Questions that threads wait for the answers to."""

from __future__ import annotations

import threading

from octree_client.transport.questions import Questions
from octree_protocol.messages import AskStatus, Describe, Refused


def test_the_answer_reaches_the_thread_that_asked() -> None:
    questions = Questions()
    heard: dict[int, object] = {}
    for number in (1, 2):
        questions.put(number, Describe("a", number))

    def wait(number: int) -> None:
        heard[number] = questions.wait(number, 10.0)

    threads = [threading.Thread(target=wait, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for number in (2, 1):
        questions.answer(number, Refused("unreadable", str(number), number))
    for thread in threads:
        thread.join(10.0)
    assert heard == {n: Refused("unreadable", str(n), n) for n in (1, 2)}


def test_a_question_is_said_once_and_forgotten_when_nobody_waits_any_more() -> None:
    questions = Questions()
    questions.put(1, AskStatus(1))
    assert questions.unsaid() == [(1, AskStatus(1))]
    assert questions.unsaid() == [(1, AskStatus(1))]  # it could not be sent
    questions.said(1)
    assert questions.unsaid() == []
    assert questions.wait(1, 0.0) is None
    questions.said(1)
    questions.answer(1, Refused("unreadable", "too late", 1))
    assert questions.unsaid() == []
