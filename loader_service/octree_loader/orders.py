"""What a pool says to its workers and hears from them. Pure (no I/O).

MessagePack over a socket pair, typed and without pickle: a worker is a process that may die in the middle of a
sentence, and the daemon must read what it said all the same.
"""

from __future__ import annotations

import msgspec

from octree_loader.pyramid import Making
from octree_loader.scheduling.actions import Load
from octree_protocol.geometry import Dataset


class OpenDataset(msgspec.Struct, frozen=True, tag="open"):
    """The loads that follow may name this dataset. `options` is JSON; `making` says which levels are not stored."""

    dataset: Dataset
    location: str
    options: str
    making: Making | None = None


class LoadOrder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a worker hears of an `actions.Load`: its first fields, in their order."""

    task: int
    dataset: int
    level: int
    concurrent: bool
    indices: tuple[tuple[int, ...], ...]
    slots: tuple[int, ...]


class LoadOrders(msgspec.Struct, frozen=True, tag="load"):
    """Loads, in the order in which they are to be begun."""

    loads: tuple[LoadOrder, ...]


class _Loads(msgspec.Struct, tag="load"):
    """The same, as the daemon says it."""

    loads: list[Load]


class Outcome(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a load ended: `present` says for each part whether the store has it; or `error` says why it failed.

    Times in nanoseconds: how long it took, computed, and waited for its store; `filled_ns` is the machine's monotonic
    clock. `unfinished`: the chunk is made of finer levels, and some of that is still to be done. `forgotten`: it was
    never begun, because nobody wanted it any more or its worker was lost.
    """

    task: int
    present: tuple[bool, ...]
    wall_ns: int
    cpu_ns: int
    blocked_ns: int
    filled_ns: int
    error: str = ""
    transient: bool = False
    unfinished: bool = False
    forgotten: bool = False


Order = OpenDataset | LoadOrders

_encoder = msgspec.msgpack.Encoder()
_order_decoder: msgspec.msgpack.Decoder[OpenDataset | LoadOrders] = msgspec.msgpack.Decoder(OpenDataset | LoadOrders)
_outcome_decoder = msgspec.msgpack.Decoder(tuple[Outcome, ...])

#: A packet is at most this long: the kernel's default for a socket's buffer is 208 KiB.
PACKET_BYTES = 128 << 10


def encode_order(order: Order) -> bytes:
    """The packet of an order."""
    return _encoder.encode(order)


def encode_loads(loads: list[Load]) -> bytes:
    """The packet of loads for one worker, which decodes it as `LoadOrders`."""
    return _encoder.encode(_Loads(loads))


def order_of(load: Load) -> LoadOrder:
    """What a worker hears of a load."""
    return LoadOrder(load.task, load.dataset, load.level, load.concurrent, load.indices, load.slots)


def decode_order(packet: bytes) -> OpenDataset | LoadOrders:
    """Inverse of `encode_order`."""
    return _order_decoder.decode(packet)


def encode_outcomes(outcomes: list[Outcome]) -> bytes:
    """The packet of several outcomes."""
    return _encoder.encode(outcomes)


def decode_outcomes(packet: bytes) -> tuple[Outcome, ...]:
    """Inverse of `encode_outcomes`."""
    return _outcome_decoder.decode(packet)
