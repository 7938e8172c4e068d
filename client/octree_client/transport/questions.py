"""Questions to the daemon that threads wait for the answers to. Knows nothing of what is asked, nor of the socket."""

from __future__ import annotations

import threading

from octree_protocol.messages import ClientMessage, Described, Refused, Status

#: What a question is answered with.
Answer = Described | Status | Refused


class _Question:
    __slots__ = ("answer", "answered", "message", "said")

    def __init__(self, message: ClientMessage) -> None:
        self.message = message
        self.said = False
        self.answer: Answer | None = None
        self.answered = threading.Event()


class Questions:
    """All questions that have no answer yet, by number. Any thread puts them; that of the connection says them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._questions: dict[int, _Question] = {}

    def put(self, number: int, message: ClientMessage) -> None:
        """Ask something. The number must be in the message, and have been of no other question."""
        with self._lock:
            self._questions[number] = _Question(message)

    def wait(self, number: int, timeout: float) -> Answer | None:
        """Wait for the answer to a question that was put, and forget it; None if there is none within `timeout`
        seconds."""
        with self._lock:
            question = self._questions[number]
        try:
            return question.answer if question.answered.wait(timeout) else None
        finally:
            with self._lock:
                del self._questions[number]

    def unsaid(self) -> list[tuple[int, ClientMessage]]:
        """What is still to be said to the daemon."""
        with self._lock:
            return [(number, question.message) for number, question in self._questions.items() if not question.said]

    def said(self, number: int) -> None:
        """A question has been sent: it is not said again, whatever becomes of the daemon."""
        with self._lock:
            if number in self._questions:
                self._questions[number].said = True

    def answer(self, number: int, answer: Answer) -> None:
        """The answer has come. Harmless where nobody waits for it any more."""
        with self._lock:
            question = self._questions.get(number)
        if question is not None:
            question.answer = answer
            question.answered.set()
