"""One file with images in it, on this machine or another, as the modules for formats see it.

Knows nothing of formats, nor how a file far away is read (`remote_file`).
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Protocol

from octree_loader.sources.base import SourceError
from octree_loader.sources.chunk_files import read_failed


class ImageFile(Protocol):
    """A file that can be parsed. `where` names it in errors, `name` is the last part of its path."""

    where: str
    name: str

    def head(self, nbytes: int) -> bytes:
        """The first bytes; fewer if it is shorter, or cannot be read."""
        ...

    def read_all(self, nbytes_most: int) -> bytes | memoryview:
        """All of it; longer files are refused."""
        ...

    def beside(self, suffix: str, nbytes_most: int) -> bytes | memoryview | None:
        """The file beside it that is named the same but for its suffix; None if there is none, or it is longer."""
        ...

    def stream(self) -> Any:
        """The file for a library that wants to seek and read; for whoever asks to close."""
        ...


class LocalFile:
    """An `ImageFile` of this machine."""

    def __init__(self, path: str) -> None:
        self.where = path
        self.name = os.path.basename(path)

    def head(self, nbytes: int) -> bytes:
        """See `ImageFile.head`."""
        try:
            with open(self.where, "rb") as file:
                return file.read(nbytes)
        except OSError:
            return b""

    def read_all(self, nbytes_most: int) -> bytes:
        """See `ImageFile.read_all`."""
        with self.stream() as file:
            data: bytes = file.read(nbytes_most + 1)
        if len(data) > nbytes_most:
            raise SourceError(f"{self.where} has more than {nbytes_most} bytes: so much is not read as a whole")
        return data

    def beside(self, suffix: str, nbytes_most: int) -> bytes | None:
        """See `ImageFile.beside`."""
        path = os.path.splitext(self.where)[0] + suffix
        if not os.path.isfile(path) or os.path.getsize(path) > nbytes_most:
            return None
        with open(path, "rb") as file:
            return file.read(nbytes_most)

    def stream(self) -> Any:
        """See `ImageFile.stream`."""
        try:
            return open(self.where, "rb")
        except OSError as error:
            raise read_failed(self.where, error) from error


def watched(stream: Any) -> contextlib.AbstractContextManager[None]:
    """Raise what went wrong with a stream inside of the block, even if a library swallowed it there.

    Files of this machine do not fail now and succeed a little later: there is nothing to watch.
    """
    found: contextlib.AbstractContextManager[None] = getattr(stream, "watched", contextlib.nullcontext)()
    return found
