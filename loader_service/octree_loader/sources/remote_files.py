"""Files of a remote store, whole or in parts: bytes, or nothing, or an error that people can use.

The danger that lives here is the other side: it may be slow, refuse, lie about lengths or send too much. What has no
file answers None; what may pass (time-outs, 429, 5xx, lost connections) is a transient `SourceError`, everything else
a lasting one, each with place and status and without what may be secret. Reads block, and let other threads run
meanwhile. Knows nothing of what the bytes mean.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from octree_loader.sources.base import SourceError
from octree_loader.sources.spans import Request, Span

#: Requests that one call has under way at most.
REQUESTS_UNDER_WAY = 32

_STATUS = re.compile(r"status code: (\d{3})( [A-Z][A-Za-z ]*)?")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_KIND = re.compile(r"kind: (Timeout|Connect|Interrupted|Request|Body|Decode)")
_SYSTEM = re.compile(r'message: "([^"\n]{1,80})"')

_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
_TOLD = {
    "Timeout": "it did not answer in time",
    "Connect": "there is no connection to it",
    "Interrupted": "the connection ended in the middle",
    "Request": "the connection ended without an answer",
    "Body": "the connection ended in the middle",
    "Decode": "the answer cannot be understood",
}

_WHOLE_ONLY = "the server sends whole files only, not the parts that are asked for"

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Identity(NamedTuple):
    """What a file was like when it was opened: another one, and it is not the same file any more."""

    size: int
    tag: str | None
    modified: datetime | None

    def same(self, other: Identity) -> bool:
        """Whether both are of one file. Machines of one service may tag it differently, but date it the same."""
        if self.size != other.size:
            return False
        return None in (self.tag, other.tag) or self.tag == other.tag or self.modified == other.modified

    def told(self) -> str:
        """The same as a text that is another one for another file; "" if the store says nothing but its length."""
        dated = self.modified is not None and self.modified.timestamp() > 0  # undated ones come as of 1970
        return f"{self.size} {self.tag} {self.modified}" if dated or self.tag else ""


class Beginning(NamedTuple):
    """The first bytes of a file, or all of it from a server that sends no parts."""

    data: memoryview
    identity: Identity


#: Told of each file that was found what it is like.
Note = Callable[[str, Identity], None]


class DistantFiles(Protocol):
    """Files below one folder that are asked for by their paths; see `RemoteFiles`."""

    where: str
    denied: str

    def read(self, path: str, nbytes_most: int) -> memoryview | None: ...
    def read_many(
        self, paths: Sequence[str], nbytes_most: int, note: Note | None = None
    ) -> list[memoryview | None]: ...
    def read_end(self, path: str, nbytes: int) -> memoryview | None: ...
    def read_parts(self, path: str, requests: Sequence[Request]) -> list[memoryview] | None: ...
    def size(self, path: str) -> int | None: ...
    def folders(self, path: str) -> list[str]: ...
    def place(self, path: str) -> str: ...


class RemoteFiles:
    """The files below one folder of a remote store; safe to use from several threads.

    Parameters
    ----------
    client
        An obstore store whose root is the folder.
    where
        Names the folder in errors.

    Attributes
    ----------
    denied
        The first answer that said 403, as an error would tell it; "" if there was none.
    """

    def __init__(self, client: Any, where: str) -> None:
        self.client = client
        self.where = where
        self.denied = ""
        self._denying = threading.Lock()

    def read(self, path: str, nbytes_most: int, note: Note | None = None) -> memoryview | None:
        """A whole file, or None if there is none. One that is longer than `nbytes_most` is refused before it comes."""
        import obstore

        try:
            answer = obstore.get(self.client, path)
            self._check_length(path, answer.meta["size"], nbytes_most)
            if note is not None:
                note(path, _identity(answer.meta))
            return memoryview(answer.bytes())
        except SourceError:
            raise
        except Exception as error:
            self._failed(path, error)
            return None

    def read_many(self, paths: Sequence[str], nbytes_most: int, note: Note | None = None) -> list[memoryview | None]:
        """Several whole files at once, in their order."""
        if len(paths) == 1:
            return [self.read(paths[0], nbytes_most, note)]
        import obstore

        async def read(path: str) -> memoryview | None:
            try:
                answer = await obstore.get_async(self.client, path)
                self._check_length(path, answer.meta["size"], nbytes_most)
                if note is not None:
                    note(path, _identity(answer.meta))
                return memoryview(await answer.bytes_async())
            except SourceError:
                raise
            except Exception as error:
                self._failed(path, error)
                return None

        return _at_once(read, paths)

    def read_end(self, path: str, nbytes: int) -> memoryview | None:
        """The last bytes of a file, or all of it if it is shorter; None if there is none."""
        import obstore

        try:
            return memoryview(obstore.get(self.client, path, options={"range": {"suffix": nbytes}}).bytes())
        except Exception as error:
            self._failed(path, error)
            return None

    def read_parts(self, path: str, requests: Sequence[Request]) -> list[memoryview] | None:
        """Parts of a file, each with one request, at once. Shorter where the file ends. None if there is no file."""
        import obstore

        try:
            if len(requests) == 1:
                return [memoryview(obstore.get_range(self.client, path, start=requests[0].low, end=requests[0].high))]

            async def read(part: Request) -> memoryview:
                return memoryview(await obstore.get_range_async(self.client, path, start=part.low, end=part.high))

            return _at_once(read, requests)
        except Exception as error:
            self._failed(path, error)
            return None

    def read_beginning(self, path: str, nbytes: int, whole_most: int) -> Beginning | None:
        """The first bytes of a file, and what it is; None if there is none.

        A server that sends no parts sends all of it, up to `whole_most` bytes.
        """
        import obstore

        try:
            answer = obstore.get(self.client, path, options={"range": (0, nbytes)})
            data = memoryview(answer.bytes())
            return Beginning(data, _identity(answer.meta))
        except Exception as error:
            status, reason, _ = explain(str(error))
            if status == 416:
                raise SourceError(f"{self.place(path)} is empty: copy it again") from None
            if reason != _WHOLE_ONLY:
                self._failed(path, error)
                return None
        try:
            answer = obstore.get(self.client, path)
            if answer.meta["size"] > whole_most:
                raise SourceError(
                    f"{self.place(path)} has {answer.meta['size']} bytes, and {_WHOLE_ONLY}: "
                    f"serve it from one that understands Range"
                )
            return Beginning(memoryview(answer.bytes()), _identity(answer.meta))
        except SourceError:
            raise
        except Exception as error:
            self._failed(path, error)
            return None

    def read_same(self, path: str, identity: Identity, spans: Sequence[Span]) -> list[memoryview]:
        """Parts of a file that is still what it was, each with one request, at once; whole, or an error."""
        import obstore

        def check(span: Span, meta: Any, data: memoryview | None) -> None:
            if not identity.same(_identity(meta)):
                raise SourceError(f"{self.place(path)} has changed since it was opened: open it again")
            if data is not None and len(data) != span.high - span.low:
                raise SourceError(f"{self.place(path)} comes in parts that are too short: its server is broken")

        async def read(span: Span) -> memoryview:
            answer = await obstore.get_async(self.client, path, options={"range": (span.low, span.high)})
            check(span, answer.meta, None)
            data = memoryview(await answer.bytes_async())
            check(span, answer.meta, data)
            return data

        try:
            if len(spans) == 1:  # a loop of its own costs as much as a request to a near server
                answer = obstore.get(self.client, path, options={"range": (spans[0].low, spans[0].high)})
                check(spans[0], answer.meta, None)
                data = memoryview(answer.bytes())
                check(spans[0], answer.meta, data)
                return [data]
            return _at_once(read, spans)
        except SourceError:
            raise
        except Exception as error:
            self._failed(path, error)
            raise SourceError(
                f"{self.place(path)} has vanished since it was opened, or may not be read any more"
            ) from None

    def size(self, path: str) -> int | None:
        """The length of a file, or None if there is none."""
        import obstore

        try:
            return int(obstore.head(self.client, path)["size"])
        except Exception as error:
            self._failed(path, error)
            return None

    def folders(self, path: str) -> list[str]:
        """Names of the folders right below one, sorted; none where the store cannot list."""
        import obstore

        try:
            found = obstore.list_with_delimiter(self.client, path or None)["common_prefixes"]
        except Exception:  # plain web servers cannot, and a bucket may forbid it
            return []
        return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in found)

    def names(self, path: str, most: int) -> list[str]:
        """Names of the files right below a folder, at most so many; none where the store cannot list."""
        import obstore

        found: list[str] = []
        below = f"{path}/" if path else ""
        seen = 0
        try:
            for batch in obstore.list(self.client, path or None, chunk_size=1000):
                seen += len(batch)
                names = (str(entry["path"])[len(below) :] for entry in batch)
                found += [name for name in names if name and "/" not in name]
                if seen >= most:
                    break
        except Exception:  # plain web servers cannot, and a bucket may forbid it
            return []
        return found

    def place(self, path: str) -> str:
        """A file's place, for an error."""
        return f"{self.where}/{path}"

    def _check_length(self, path: str, length: int, nbytes_most: int) -> None:
        if length > nbytes_most:
            raise SourceError(f"{self.place(path)} is longer than it can be ({length} bytes): it is damaged")

    def _failed(self, path: str, error: Exception) -> None:
        """Returns if there is no such file, and raises what people can use otherwise."""
        if isinstance(error, FileNotFoundError):
            return
        text = str(error)
        status, reason, transient = explain(text)
        if status == 403:
            # S3 says so of whatever is not there to those who may not list: then its documents can be read, and what
            # cannot is missing. Whether any could is for who opens the dataset to see.
            with self._denying:
                self.denied = self.denied or f"{self.place(path)}: {reason}"
            code = _CODE.search(text)
            if code is None or code[1] == "AccessDenied":
                return
        # No `from error`: its text has the whole URL, signatures included.
        raise SourceError(f"{self.place(path)} cannot be read: {reason}", transient=transient) from None


def _identity(meta: Any) -> Identity:
    return Identity(int(meta["size"]), meta["e_tag"], meta["last_modified"])


def explain(text: str) -> tuple[int | None, str, bool]:
    """What an error of the library comes to: (status, reason, whether it may pass). Nothing secret is in the reason."""
    found = _STATUS.search(text)
    if found is not None:
        status = int(found[1])
        code = _CODE.search(text)
        reason = f"the server answers {status}{(found[2] or '').rstrip()}" + (f" ({code[1]})" if code else "")
        if status == 401:
            reason += "; it wants credentials"
        elif status == 416:
            reason += ": the file is shorter than its index says; write it again"
        return status, reason, status in _TRANSIENT_STATUS
    if "Received redirect without LOCATION" in text:
        return 301, "the server redirects to nowhere: is the region right?", False
    if "Range request not supported" in text or "non-partial response" in text:
        return 200, _WHOLE_ONLY, False
    kind = _KIND.search(text)
    if kind is not None:
        system = _SYSTEM.search(text)
        reason = _TOLD[kind[1]] + (f" ({system[1]})" if system else "")
        return None, reason, kind[1] != "Decode"
    headline = re.sub(r"\S*://\S*", "...", text.split("\n", 1)[0])[:200]
    return None, headline, False


def _at_once(read: Callable[[_Item], Awaitable[_Result]], items: Sequence[_Item]) -> list[_Result]:
    """Call `read` for all items with several under way; results in their order.

    After the first error nothing more is begun. What is under way then is waited for: the library's threads would
    answer a loop that is gone.
    """

    results: dict[int, _Result] = {}
    errors: list[Exception] = []
    todo: Iterator[tuple[int, _Item]] = iter(enumerate(items))

    async def work() -> None:
        for number, item in todo:
            try:
                results[number] = await read(item)
            except Exception as error:
                errors.append(error)
            if errors:
                return

    async def run() -> None:
        await asyncio.gather(*(work() for _ in range(min(REQUESTS_UNDER_WAY, len(items)))))

    asyncio.run(run())
    if errors:
        # Kept here, or by a task of asyncio's, it and all frames that it passes would be left to the garbage collector.
        first = errors[0]
        errors.clear()
        try:
            raise first
        finally:
            del first
    return [results[number] for number in range(len(items))]
