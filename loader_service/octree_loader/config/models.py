"""Every key of the configuration, its meaning, its default and what it may be. What is wrong with a file says `config`.

The keys of `loader_defaults` and `octree` are those of napari's octree configuration, so that its files load unchanged.
Knows neither files nor the command line. Times are in milliseconds, as the keys say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from octree_loader.free_memory import arena_bytes, shared_directory
from octree_loader.level_cache import default_directory
from octree_loader.scheduling.slot_sizes import SMALLEST_ARENA_BYTES
from octree_protocol import limits
from octree_protocol.addresses import DEFAULT_NAME, AddressError, check_name, parse_address
from octree_protocol.curve_keys import check_public_key, key_folder

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]*)\s*")
_LEVEL = re.compile(r"0|-?[1-9]\d{0,2}")


def _to_bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise ValueError('a number of bytes, or text such as "512MiB" or "1GiB"')
    return math.floor(float(match[1]) * unit)


def _to_level(value: object) -> int:
    # The keys of an object in JSON are always text.
    if isinstance(value, str) and _LEVEL.fullmatch(value):
        value = int(value)
    if type(value) is not int or abs(value) > limits.LEVELS:
        raise ValueError(f"a relative level, a whole number from {-limits.LEVELS} to {limits.LEVELS}")
    return value


def _check_address(value: Any) -> str:
    return parse_address(value, binding=True).url


def _check_health(value: Any) -> str:
    try:
        address = parse_address(f"tcp://{value}" if isinstance(value, str) else "", binding=True)
    except AddressError:
        raise ValueError('null, or a host and a port such as "127.0.0.1:9777"') from None
    return address.url.removeprefix("tcp://")


def _check_scheduler(value: Any) -> str:
    if value == "local":
        return "local"
    if isinstance(value, str) and value.startswith(("tcp://", "tls://")):
        try:
            return value[:6] + parse_address(f"tcp://{value[6:]}").url[6:]
        except AddressError:
            pass
    raise ValueError("local, or the address of a dask scheduler: tls://host:port, or tcp://host:port on this machine")


def _check_dataset_name(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value) <= 256:
        raise ValueError("a name of 1 to 256 printable characters")
    return value


_Flag = Annotated[bool, Field(strict=True)]
_Workers = Annotated[int, Field(strict=True, ge=1, le=256)]
_Milliseconds = Annotated[float, Field(strict=True, ge=0, le=600_000, allow_inf_nan=False)]
_Text = Annotated[str, Field(strict=True, min_length=1, max_length=limits.TEXT_CHARACTERS)]
_RelativeLevel = Annotated[int, BeforeValidator(_to_level)]
_Bytes = Annotated[
    int,
    BeforeValidator(_to_bytes),
    Field(strict=True, ge=SMALLEST_ARENA_BYTES, le=1 << 46),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": SMALLEST_ARENA_BYTES, "maximum": 1 << 46},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KMGTkmgt]?i?[Bb])?\s*$"},
            ]
        }
    ),
]
_CacheBytes = Annotated[
    int,
    BeforeValidator(_to_bytes),
    Field(strict=True, ge=0, le=1 << 50),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 1 << 50},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KMGTkmgt]?i?[Bb])?\s*$"},
            ]
        }
    ),
]
_DatasetName = Annotated[str, BeforeValidator(_check_dataset_name)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LoaderDefaults(_Section):
    """How chunks are loaded, by every pool that does not say otherwise."""

    log_path: _Text | None = Field(default=None, description="Write a log of the loads to this file.")
    force_synchronous: _Flag = Field(
        default=False,
        description="No pools and no delay: loads happen in the daemon one by one, and viewers draw only final frames. "
        "For debugging and tests.",
    )
    num_workers: _Workers = Field(default=10, description="Workers that a pool may have; they start when needed.")
    use_processes: _Flag = Field(default=True, description="Whether workers are processes, or threads of the daemon.")
    auto_sync_ms: _Milliseconds = Field(
        default=30,
        description="While a dataset's loads take less than this, its requests skip the delay queue, and a viewer may "
        "hold a frame, within its budget, rather than flash a coarser level.",
    )
    delay_queue_ms: _Milliseconds = Field(
        default=100, description="How long a request waits where it can be forgotten for free."
    )
    load_timeout_ms: Annotated[float, Field(strict=True, gt=0, le=86_400_000, allow_inf_nan=False)] = Field(
        default=60_000,
        description="A load that takes longer hangs: its worker is ended, the chunk tried once more.",
    )


class PoolOverride(_Section):
    """What one pool does otherwise than `loader_defaults`; a key that is missing or null is taken from there."""

    num_workers: _Workers | None = Field(default=None, description="Workers that this pool may have.")
    use_processes: _Flag | None = Field(default=None, description="Whether its workers are processes or threads.")
    backend: Literal["processes", "threads", "dask"] | None = Field(
        default=None,
        description="What its workers are: processes, threads, or those of the cluster of dask; if null, as "
        "use_processes says, or else dask if there is a dask.scheduler.",
    )
    auto_sync_ms: _Milliseconds | None = Field(
        default=None, description="While a dataset's loads take less than this, its requests skip this pool's delay."
    )
    delay_queue_ms: _Milliseconds | None = Field(default=None, description="How long a request waits for this pool.")


class OctreeSettings(_Section):
    """What is drawn, and by which pools it is loaded."""

    enabled: _Flag = Field(
        default=True, description="If false there are no tiles: the one level that fits a texture is shown as a whole."
    )
    tile_size: Annotated[int, Field(strict=True, ge=16, le=2048)] = Field(
        default=256, description="Edge of a render tile, in voxels."
    )
    log_path: _Text | None = Field(default=None, description="Viewers log the octree's decisions to this file.")
    loaders: dict[_RelativeLevel, PoolOverride] = Field(
        default={0: PoolOverride(), 2: PoolOverride(delay_queue_ms=0)},
        description="The pools, by relative level (a chunk's level minus the ideal one): a chunk goes to the pool with "
        "the largest key that is not above its relative level, or to that with the smallest. If empty, one takes all.",
    )


class DatasetSettings(BaseModel):
    """One dataset: a path, a URL, ``module:factory``, or an object with such a `source` and options beside it."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    source: _Text = Field(description="A path, a URL, or module:factory for any array-like.")

    @property
    def options(self) -> dict[str, Any]:
        """What stands beside `source`, for the code that opens it."""
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, str):
            return {"source": value}
        if not isinstance(value, (Mapping, cls)):
            raise ValueError("a path, a URL, module:factory, or an object with such a source")
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string", "minLength": 1}, found]}


class ServeSettings(_Section):
    """Where the daemon listens."""

    name: Annotated[str, BeforeValidator(check_name)] = Field(
        default=DEFAULT_NAME, description="Name of the daemon: one of a name runs per user, at an address made from it."
    )
    bind: tuple[Annotated[str, BeforeValidator(_check_address)], ...] = Field(
        default=(),
        description="Addresses to listen at, ipc:///path/to/socket or tcp://host:port; if there are none, a socket in "
        "the user's runtime folder.",
    )
    insecure: _Flag = Field(
        default=False,
        description="Allow addresses that other machines can reach, where nobody is asked for a key.",
    )
    keys: _Text = Field(
        default_factory=key_folder,
        description="Folder of keys, as `octree-serve keys` makes it: server.key, and clients/NAME.pub of those who "
        "are let in at addresses that other machines can reach. Looked at again when it changes.",
    )
    clients: tuple[Annotated[str, BeforeValidator(check_public_key)], ...] = Field(
        default=(), description="Public keys of clients who are let in besides those of the folder."
    )
    keys_on_loopback: _Flag = Field(
        default=False, description="Ask for keys at tcp:// addresses of this machine alone, too."
    )
    compression: Literal["auto", "none", "lz4", "zstd"] = Field(
        default="auto",
        description="How chunks travel to clients that cannot map the arena: auto measures links and datasets and "
        "compresses where that is faster; else always so.",
    )
    root: _Text | None = Field(
        default=None,
        description="Folder whose images clients may open by their path in it, besides the datasets.",
    )
    announce: _Flag = Field(
        default=False, description="Tell the local network by zeroconf that we are here; no key is told to trust."
    )
    health: Annotated[str, BeforeValidator(_check_health)] | None = Field(
        default=None,
        description="Answer /livez, /readyz and /metrics over HTTP at this host and port, 127.0.0.1:9777 for example. "
        "Every dataset is then opened at the start.",
    )
    health_exposed: _Flag = Field(
        default=False,
        description="Allow serve.health to be an address that other machines can reach: who asks there learns the "
        "datasets' names and why one does not open, no voxels.",
    )


class MemorySettings(_Section):
    """The arena: the shared memory that holds the chunks of all clients. Its budget is hard. And the cache on disk."""

    directory: _Text = Field(
        default_factory=shared_directory,
        description="Folder of the shared memory's file; /dev/shm if there is one, else that of temporary files.",
    )
    arena_bytes: _Bytes = Field(
        default=1 << 30,
        description='Size of the arena, a number of bytes or text such as "4GiB"; if not given, 1 GiB but at most half '
        "of what is free.",
    )
    cache_directory: _Text = Field(
        default_factory=default_directory,
        description="Folder in which levels that datasets lack are kept once they are made; octree-serve in the user's "
        "cache folder.",
    )
    cache_bytes: _CacheBytes = Field(
        default=20 << 30,
        description='What these may take on disk, a number of bytes or text such as "50GiB"; the ones used longest ago '
        "are removed. 0 keeps nothing: they are made anew each time.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fit_default(cls, value: object) -> object:
        if not isinstance(value, Mapping) or "arena_bytes" in value:
            return value
        directory = value.get("directory", shared_directory())
        return {**value, "arena_bytes": default_arena_bytes(directory if isinstance(directory, str) else None)}


def default_arena_bytes(directory: str | None) -> int:
    """The size of an arena that was given none. If even the smallest is too much, `Segment.create` says so."""
    try:
        return arena_bytes(None, shared_directory(directory))
    except (OSError, ValueError, MemoryError):
        return SMALLEST_ARENA_BYTES


class DaskSettings(_Section):
    """A dask cluster as a place to load from."""

    scheduler: Annotated[str, BeforeValidator(_check_scheduler)] | None = Field(
        default=None,
        description="Address of a dask scheduler, tls://host:port or tcp://127.0.0.1:port, or local for a cluster of "
        "the daemon's own on this machine. Pools that say nothing else load with it.",
    )
    ca: _Text | None = Field(default=None, description="File (PEM) of the authority whose certificates are believed.")
    cert: _Text | None = Field(default=None, description="File (PEM) of the daemon's certificate.")
    key: _Text | None = Field(default=None, description="File (PEM) of the key of that.")
    workers: _Workers | None = Field(
        default=None, description="Workers of a local cluster; if null, one for each processor."
    )
    threads: _Workers = Field(default=1, description="Threads of each worker of a local cluster.")
    fallback: _Flag = Field(
        default=False, description="Whether pools have processes of the daemon's own while the cluster is away."
    )
    patience_ms: _Milliseconds = Field(default=5000, description="After so long without a worker, the cluster is away.")


class Config(_Section):
    """The configuration of a daemon."""

    loader_defaults: LoaderDefaults = Field(
        default_factory=LoaderDefaults, description="How chunks are loaded, by every pool that does not say otherwise."
    )
    octree: OctreeSettings = Field(
        default_factory=OctreeSettings, description="What is drawn, and by which pools it is loaded."
    )
    datasets: Annotated[dict[_DatasetName, DatasetSettings], Field(max_length=limits.DATASETS)] = Field(
        default_factory=dict,
        description="What is served, by name: a path, a URL, module:factory, or an object of a source and options.",
    )
    serve: ServeSettings = Field(default_factory=ServeSettings, description="Where the daemon listens.")
    memory: MemorySettings = Field(
        default_factory=MemorySettings, description="The shared memory that holds the chunks."
    )
    dask: DaskSettings = Field(default_factory=DaskSettings, description="A dask cluster to load from.")
