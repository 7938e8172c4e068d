"""Views as text: ``octree://view#{...}``, to be copied, mailed and opened again. Pure (no I/O).

A link names images by where they are (a path, a URL, a daemon's address and a dataset), the camera, the position on all
other axes, and how each layer looks. It may come from anybody, so it is checked like a message: bounded, typed, finite;
and it can only name data to look at. What would run code (``module:factory``, a configuration) or chain file systems is
refused. It may go to anybody, so what may be secret (a login or a query in a URL, a profile of credentials) is not
written into one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any
from urllib.parse import quote, unquote

import msgspec
from msgspec import Meta

from octree_client.looks import CONTOUR_MOST
from octree_protocol.errors import OctreeError

#: What every link begins with.
PREFIX = "octree://view#"

#: Longest link; a view of 64 layers has a quarter of it.
_MOST_CHARACTERS = 64 * 1024

#: Where data may be: absolute paths and these.
_SCHEMES = ("http", "https", "s3", "gs")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")

_Name = Annotated[str, Meta(max_length=512)]
_Place = Annotated[str, Meta(max_length=4096)]


class BadLink(OctreeError):
    """A text that is no link, or names what a link may not."""


class SourceOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a source is opened, as in a configuration: those options that say what its voxels are. None: not said."""

    axes: _Name | tuple[_Name, ...] | None = None
    scale: tuple[float, ...] | None = None
    translation: tuple[float, ...] | None = None
    rgb: bool | None = None
    kind: _Name | None = None
    levels: _Name | None = None
    anonymous: bool | None = None
    region: _Name | None = None


#: Options that change nothing of what is seen, and cost the one who opens a link something.
_LEFT_OUT = ("make_levels",)


class LayerLink(msgspec.Struct, frozen=True, omit_defaults=True):
    """One layer: where its image is, and how it looks. What is left out is up to the viewer.

    `source` is a path or URL, opened with `options`, and the image what is `inside` of it, if that is given; `address`
    a running daemon's, which serves `dataset`. One of the two is given.
    `quantiles` are those of automatic contrast; `contour`, `seed`, `selected` and `alone` are of labels.
    """

    source: _Place = ""
    options: SourceOptions = SourceOptions()
    inside: _Name = ""
    address: _Place = ""
    dataset: _Name = ""
    channel: Annotated[int, Meta(ge=0, le=1 << 31)] | None = None
    name: _Name = ""
    kind: _Name = ""
    visible: bool = True
    opacity: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0
    blending: _Name = ""
    contrast: tuple[float, float] | None = None
    gamma: Annotated[float, Meta(gt=0.0, le=100.0)] = 1.0
    colormap: _Name = ""
    interpolation: _Name = ""
    quantiles: tuple[float, float] | None = None
    contour: Annotated[int, Meta(ge=0, le=CONTOUR_MOST)] = 0
    seed: Annotated[int, Meta(ge=0, le=1 << 31)] = 0
    selected: int | None = None
    alone: bool = False
    overlay: bool = False
    level_lock: Annotated[int, Meta(ge=0)] | None = None
    quality: float = 0.0


class ViewLink(msgspec.Struct, frozen=True, omit_defaults=True):
    """A view. World units throughout; `displayed` is (down, across)."""

    layers: Annotated[tuple[LayerLink, ...], Meta(min_length=1, max_length=256)]
    center: tuple[float, float] | None = None
    pixel_size: Annotated[float, Meta(gt=0.0)] | None = None
    displayed: tuple[_Name, _Name] | None = None
    point: Annotated[dict[_Name, float], Meta(max_length=64)] = {}


def is_link(text: str) -> bool:
    """Whether a text is meant as a link."""
    return text.strip().startswith("octree://")


def write_link(view: ViewLink) -> str:
    """The text of a view. Raises `BadLink` for one that `read_link` would refuse, or that may have a secret in it."""
    for layer in view.layers:
        if may_be_secret(layer.source):
            raise BadLink(f"{layer.dataset or layer.name} has a login or a query in its URL, which may be secret")
    text = PREFIX + quote(msgspec.json.encode(view).decode(), safe="!$'()*+,/:;=@[]{}~-._")
    read_link(text)
    return text


def read_link(text: str) -> ViewLink:
    """The view of a link.

    Raises
    ------
    BadLink
        With what is wrong with it.
    """
    text = text.strip()
    if not text.startswith(PREFIX):
        raise BadLink(f"a link to a view begins with {PREFIX}")
    if len(text) > _MOST_CHARACTERS:
        raise BadLink(f"a link has at most {_MOST_CHARACTERS:,} characters, this one {len(text):,}")
    try:
        view = msgspec.json.decode(unquote(text[len(PREFIX) :], errors="strict"), type=ViewLink)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadLink(f"the link cannot be read: {error}") from None
    numbers = [*(view.center or ()), *([view.pixel_size] if view.pixel_size else ()), *view.point.values()]
    for layer in view.layers:
        numbers += [layer.quality, *(layer.contrast or ()), *(layer.quantiles or ())]
        numbers += [*(layer.options.scale or ()), *(layer.options.translation or ())]
    if not all(isfinite(number) for number in numbers):
        raise BadLink("the link has a number that is not finite")
    for layer in view.layers:
        _check_place(layer)
        if layer.quantiles is not None and not 0.0 <= layer.quantiles[0] < layer.quantiles[1] <= 1.0:
            raise BadLink("the link has quantiles that are not 0 <= low < high <= 1")
        if layer.selected is not None and not -(1 << 63) <= layer.selected < 1 << 64:  # more than Meta can say
            raise BadLink("the link has a label that no type of data can be")
    return view


def linked_options(options: Mapping[str, Any]) -> SourceOptions:
    """The options of a source as a link has them.

    Raises
    ------
    BadLink
        For one that a link may not have: that would have to be told whom one trusts, or says who one is.
    """
    kept = {name: value for name, value in options.items() if name not in _LEFT_OUT}
    for name in kept:
        if name not in SourceOptions.__struct_fields__:
            raise BadLink(f"it is opened with the option {name!r}, which a link may not have")
    try:
        return msgspec.convert(kept, SourceOptions)
    except msgspec.ValidationError as error:
        raise BadLink(f"its options cannot stand in a link: {error}") from None


def may_be_secret(source: str) -> bool:
    """Whether a URL has a login or a query: a signature is one."""
    _, separator, rest = source.partition("://")
    return bool(separator) and ("@" in rest.partition("/")[0] or "?" in rest)


def _check_place(layer: LayerLink) -> None:
    if bool(layer.source) == bool(layer.address):
        raise BadLink("each layer of a link has a path, a URL, or a daemon's address")
    if any(ord(character) < 32 for character in layer.source + layer.address + layer.inside):
        raise BadLink("the link has a source with control characters")
    if layer.address:
        if not layer.dataset:
            raise BadLink("a link to a daemon says which dataset")
        if not layer.address.startswith(("ipc://", "tcp://")):  # whoever connects looks at the rest
            raise BadLink(f"a daemon's address begins with ipc:// or tcp://, not {layer.address!r}")
        return
    if ".." in layer.inside.split("/"):
        raise BadLink("the link names something beside what it names")
    if layer.source.startswith("/"):
        return
    scheme = _SCHEME.match(layer.source)
    if scheme is None or scheme[1].lower() not in _SCHEMES or not layer.source[scheme.end() :].startswith("//"):
        raise BadLink(
            f"a link may name absolute paths and {', '.join(f'{s}://' for s in _SCHEMES)} only, not {layer.source!r}"
        )
    if "::" in layer.source:
        raise BadLink("a link may not chain file systems (::)")
