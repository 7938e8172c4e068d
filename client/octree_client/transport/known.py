"""The datasets that a connection has been told of, and those that a new daemon has yet to describe. Pure (no I/O).

Another daemon at the same address numbers its datasets anew, so each is asked for again before anything is wanted of
it. Knows nothing of views.
"""

from __future__ import annotations

from collections.abc import Iterator

from octree_protocol.geometry import Dataset
from octree_protocol.messages import Describe, Described


class KnownDatasets:
    """What is known of datasets, by their names."""

    __slots__ = ("_asked", "_known")

    def __init__(self) -> None:
        self._known: dict[str, Dataset] = {}
        self._asked: dict[int, str] = {}

    @property
    def complete(self) -> bool:
        """Whether the daemon has described all that one before it had described."""
        return not self._asked

    def all(self) -> dict[str, Dataset]:
        """A copy."""
        return dict(self._known)

    def numbered(self, number: int) -> Dataset | None:
        """The dataset of that number."""
        return next((dataset for dataset in self._known.values() if dataset.id == number), None)

    def learn(self, dataset: Dataset, name: str) -> None:
        """Somebody has asked what a dataset is, by a name that the daemon knows it by."""
        self._known[name] = dataset

    def ask_again(self, numbers: Iterator[int]) -> list[Describe]:
        """Another daemon answers: what to ask it. `numbers` are those of questions."""
        self._asked = {next(numbers): name for name in self._known}
        return [Describe(name, number) for number, name in self._asked.items()]

    def described(self, message: Described) -> bool:
        """Take a description in; returns whether `ask_again` asked for it."""
        name = self._asked.pop(message.about, None)
        if name is None:
            return False
        self._known[name] = message.dataset
        return True

    def refused(self, about: int) -> str | None:
        """A question is not answered: the name of the dataset that is known no more, if `ask_again` asked it."""
        name = self._asked.pop(about, None)
        if name is not None:
            self._known.pop(name, None)
        return name
