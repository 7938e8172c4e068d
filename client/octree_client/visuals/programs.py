"""The programs of one tiled image, each made when it is first asked for; and the vertices that they draw.

Uniforms are set on all of them at once, so that whichever is drawn with is up to date. Knows nothing of pieces, nor of
which program is wanted when (`variants`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from vispy import gloo

from octree_client.texture import TextureKind
from octree_client.visuals.quads import NO_DATA, NOTHING, triangle_indices
from octree_client.visuals.shaders import fragment_shader, vertex_shader
from octree_client.visuals.variants import Variant
from octree_protocol.keys import CellStatus

_STATUSES = {
    "MISSING": int(CellStatus.MISSING),
    "FAILED": int(CellStatus.FAILED),
    "NO_DATA": NO_DATA,
    "NOTHING": NOTHING,
}

#: Uniforms of what is drawn without a texture; the other programs have more.
_BARE = frozenset({"u_opacity", "u_pixel", "u_view"})


class QuadBuffer:
    """Vertices of quads, four each.

    Parameters
    ----------
    vertex
        dtype of one vertex, its fields named as the attributes.

    Attributes
    ----------
    capacity
        Quads that there is room for; it grows.
    vertices, indices
        `gloo.VertexBuffer`, and the `gloo.IndexBuffer` of the triangles of all quads; None before anything is drawn.
    """

    def __init__(self, vertex: np.dtype[Any]) -> None:
        self._vertex = vertex
        self._programs: list[Any] = []
        self.capacity = 0
        self.vertices: Any = None
        self.indices: Any = None

    def bind(self, program: Any) -> None:
        """This program draws from here."""
        if self.vertices is None:
            self._grow(1)
        program.bind(self.vertices)
        self._programs.append(program)

    def put(self, quads: NDArray[Any]) -> None:
        """Hold these from the next flush on."""
        if len(quads) > 4 * self.capacity:
            self._grow(len(quads) // 4)
        if len(quads):
            self.vertices.set_subdata(quads)

    def close(self) -> None:
        """Free it at the next flush."""
        for held in (self.vertices, self.indices):
            if held is not None:
                held.delete()

    def _grow(self, count: int) -> None:
        self.close()
        self.capacity = max(64, 1 << (count - 1).bit_length())
        self.vertices = gloo.VertexBuffer(np.zeros(4 * self.capacity, self._vertex))
        self.indices = gloo.IndexBuffer(triangle_indices(self.capacity))
        for program in self._programs:
            program.bind(self.vertices)


class Programs:
    """Programs by variant.

    Parameters
    ----------
    kind
        Of the texture.
    quads, fading
        What settled and bare pieces, and what fading ones are drawn from.

    Attributes
    ----------
    made
        How many programs were compiled and linked.
    """

    def __init__(self, kind: TextureKind, quads: QuadBuffer, fading: QuadBuffer) -> None:
        self.made = 0
        self._kind, self._quads, self._fading = kind, quads, fading
        self._uniforms: dict[str, Any] = {}
        self._programs: dict[Variant, Any] = {}

    def __getitem__(self, variant: Variant) -> Any:
        program = self._programs.get(variant)
        if program is None:
            fading = variant.part == "fading"
            shader = fragment_shader(self._kind, variant, _STATUSES)
            program = self._programs[variant] = gloo.Program(vertex_shader(variant), shader)
            for name, value in self._uniforms.items():
                if variant.part != "bare" or name in _BARE:
                    program[name] = value
            (self._fading if fading else self._quads).bind(program)
            self.made += 1
        return program

    def set(self, name: str, value: Any) -> None:
        """Set a uniform, or a texture, on all programs, and on those that are made later."""
        self._uniforms[name] = value
        for variant, program in self._programs.items():
            if variant.part != "bare" or name in _BARE:
                program[name] = value

    def close(self) -> None:
        """Free them at the next flush."""
        for program in self._programs.values():
            program.delete()
        self._programs.clear()
