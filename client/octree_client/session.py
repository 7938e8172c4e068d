"""What a script holds: a session with a daemon, and the images in it. Imports neither Qt nor vispy."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from octree_client.locations import Origin, name_of, origin_of, origins_in
from octree_client.reading import LevelArray
from octree_client.transport.connection import CACHE_BYTES, Connection, ConnectionFailed, ConnectionState
from octree_client.transport.embedded import DaemonDied, EmbeddedDaemon
from octree_client.transport.trust import keys_for, remember
from octree_protocol.geometry import Axis, Dataset
from octree_protocol.messages import Status

#: How long a daemon may take until it answers for the first time. Seconds.
_START_SECONDS = 30.0


class Image:
    """A dataset as a script sees it.

    Attributes
    ----------
    name
        As the daemon serves it.
    axes
        Names of the axes in order, e.g. ``("t", "c", "y", "x")``; `axis_details` has kinds and units.
    dtype
        Of every level.
    levels
        Finest first; each with ``shape``, ``scale``, ``translation`` and numpy's slicing.
    """

    def __init__(self, session: Session, dataset: Dataset) -> None:
        self.session = session
        self.dataset = dataset
        self.name = dataset.name
        self.axes = tuple(axis.name for axis in dataset.axes)
        self.axis_details: tuple[Axis, ...] = dataset.axes
        self.dtype = np.dtype(dataset.dtype)
        self.rgb = dataset.rgb
        self.levels = tuple(LevelArray(session.connection, dataset, n) for n in range(len(dataset.levels)))
        self.shape = self.levels[0].shape

    def progress(self) -> tuple[int, int]:
        """Chunks that the daemon has made of the levels that this dataset lacks, and chunks in all; (0, 0) of none."""
        return self.session.connection.progress.get(self.dataset.id, (0, 0))

    def _repr_html_(self) -> str:
        """Its axes and levels, for notebooks."""
        from octree_client.notebook import image_html

        return image_html(self)

    def __repr__(self) -> str:
        return f"<image {self.name}: {''.join(self.axes)} {self.shape} {self.dtype}, {len(self.levels)} levels>"


class Session:
    """A connection to a daemon, one's own or another's. A context manager; see `open` and `connect`."""

    def __init__(self, connection: Connection, embedded: EmbeddedDaemon | None = None) -> None:
        self.connection = connection
        self._embedded = embedded
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._images: dict[str, Image] = {}
        self._origins: dict[str, Origin] = {}

    def __repr__(self) -> str:
        return f"<session with {self.connection.address}, {self.connection.state.value}: {', '.join(self.datasets())}>"

    def datasets(self) -> tuple[str, ...]:
        """Names of all datasets that the daemon serves."""
        return self.connection.datasets

    def dataset(self, name: str | None = None, timeout: float = 30.0) -> Image:
        """One dataset; the first if no name is given.

        Raises
        ------
        DatasetUnavailable
            With the daemon's reason.
        """
        if name is None:
            if not self.datasets():
                raise ConnectionFailed(f"{self.connection.address}: the daemon serves no dataset")
            name = self.datasets()[0]
        image = self._images.get(name)
        if image is None:
            image = self._images[name] = Image(self, self.connection.describe(name, timeout))
        return image

    def images(self, names: Sequence[str]) -> tuple[Image, ...]:
        """Several datasets, asked for together. Raises as `dataset`, for the first that is not to be had."""
        with ThreadPoolExecutor(8, "octree-describing") as pool:
            return tuple(pool.map(self.dataset, names))

    def origin(self, name: str) -> Origin | None:
        """Where a dataset of a daemon of our own comes from, also one inside of another (``plate/A/1``).

        None where nobody can find it again: an array in memory, or what another's daemon has.
        """
        outer = max((known for known in self._origins if f"{name}/".startswith(f"{known}/")), key=len, default=None)
        return None if outer is None else self._origins[outer]._replace(inside=name[len(outer) + 1 :])

    @property
    def is_own(self) -> bool:
        """Whether the daemon is one of our own, which ends with the session."""
        return self._embedded is not None

    def status(self) -> Status:
        """What the daemon is doing."""
        return self.connection.status()

    @property
    def daemon_pid(self) -> int | None:
        """Process of the daemon, if it is our own."""
        return None if self._embedded is None else self._embedded.pid

    def close(self) -> None:
        """Leave the daemon; end it, if it is our own."""
        self.connection.close()
        if self._embedded is not None:
            self._embedded.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(
    address: str,
    timeout: float = 5.0,
    *,
    server_key: str | None = None,
    insecure: bool = False,
    cache_bytes: int = CACHE_BYTES,
    key_folder: str | Path | None = None,
    learn: Callable[[str], str | None] = lambda _: None,
) -> Session:
    """A session with a running daemon.

    Parameters
    ----------
    address
        ``ipc://...`` or ``tcp://host:port``, as ``octree-serve`` prints it.
    timeout
        Seconds until it must have answered.
    server_key
        Public key of a daemon on another machine, needed the first time.
    insecure
        Speak in the clear with a daemon on another machine whose key is not known.
    cache_bytes
        For chunks that come over the wire, if the daemon's shared memory cannot be mapped.
    key_folder, learn
        See `trust.keys_for`.

    Raises
    ------
    ConnectionFailed
        If it does not, or will not talk to us.
    NotTrusted
        If its key is not known, or not the one that is known; or if we have none.
    """
    keys = keys_for(address, server_key, insecure=insecure, folder=key_folder, learn=learn)
    connection = Connection(address, keys=keys, cache_bytes=cache_bytes)
    try:
        connection.wait_until_open(timeout)
    except BaseException:
        connection.close()
        raise
    remember(address, keys, key_folder)
    return Session(connection)


def open(
    source: Any = None,
    *,
    datasets: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    timeout: float = _START_SECONDS,
    **options: Any,
) -> Session:
    """A session with a daemon of its own, which ends with the session.

    Parameters
    ----------
    source
        A path, a URL, ``"module:factory"``, or a numpy array.
    datasets
        Several sources by name, instead of `source`.
    config
        An ``octree.json`` to start from.
    settings
        Sections of the configuration, e.g. ``{"octree": {"tile_size": 128}}``.
    options
        Of the source, e.g. ``axes="tyx"``.

    Raises
    ------
    DaemonDied
        If it cannot start; the text has its reason.

    Examples
    --------
    >>> with octree_client.open("image.zarr") as session:  # doctest: +SKIP
    ...     corner = session.dataset().levels[1][100:300, ::2]
    """
    folder: tempfile.TemporaryDirectory[str] | None = None
    origins = {} if config is None else origins_in(Path(config))
    given = {name: origin_of(each) for name, each in (datasets or {}).items()}
    if isinstance(source, np.ndarray):
        # The workers map the file; where there is memory behind it, nothing is ever read from a disk.
        folder = tempfile.TemporaryDirectory(
            prefix="octree-array-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None
        )
        np.save(Path(folder.name) / "array.npy", source)
        source = str(Path(folder.name) / "array.npy")
    if source is not None:
        named = origin_of({"source": source, **options})
        given[name_of(named.location)] = named
    if config is not None and any(origin.options for origin in given.values()):
        raise ValueError("options of a source go into the configuration, beside its datasets")
    origins |= given
    if folder is not None:
        del origins[name_of(str(source))]  # nobody finds it again when this is over
    served = {name: {"source": o.location, **o.options} if o.options else o.location for name, o in given.items()}
    embedded = EmbeddedDaemon(served, Path(config) if config is not None else None, settings)
    connection = Connection(embedded.address, on_lost=embedded.start)
    session = Session(connection, embedded)
    session._folder = folder
    session._origins = origins
    try:
        _wait_for(connection, embedded, timeout)
    except BaseException:
        session.close()
        raise
    return session


def _wait_for(connection: Connection, embedded: EmbeddedDaemon, timeout: float) -> None:
    until = time.monotonic() + timeout
    while connection.state is not ConnectionState.OPEN:
        if not embedded.running():
            status = embedded.exit_status() or 1
            raise DaemonDied(embedded.last_words() or f"the daemon ended with status {status}", status)
        try:
            connection.wait_until_open(min(0.1, timeout))
        except ConnectionFailed:
            if time.monotonic() > until or connection.state is ConnectionState.REFUSED:
                raise
