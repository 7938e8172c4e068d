"""How a layer is mixed with what is below it: GL's blend state, and what the shader has to do for it. Pure (no I/O).

The canvas is opaque from the start and stays so, whatever is drawn. Knows nothing of layers or GL objects.
"""

from __future__ import annotations

from typing import NamedTuple

from octree_client.looks import Blending


class BlendState(NamedTuple):
    """GL's blend state.

    Attributes
    ----------
    factors
        Of source and destination for the colour, then for alpha, as `gloo` spells them.
    equation
        For the colour, ``func_add`` or ``min``; alpha is always added.
    """

    factors: tuple[str, str, str, str]
    equation: str


_MIX = BlendState(("src_alpha", "one_minus_src_alpha", "one", "one_minus_src_alpha"), "func_add")
_ADD = BlendState(("src_alpha", "one", "zero", "one"), "func_add")
_ALONE = BlendState(("src_alpha", "zero", "zero", "one"), "func_add")
_DARKER = BlendState(("one", "zero", "zero", "one"), "min")
_REPLACE = BlendState(("one", "zero", "zero", "one"), "func_add")

#: Opacity, as the shader has it, of what covers wherever it has any colour: what comes out above 1 is 1.
COVERING = 1.0e6


def blend_state(blending: Blending, lowest: bool) -> BlendState:
    """How a layer with that blending is drawn.

    Parameters
    ----------
    lowest
        Nothing but the background lies below it: light is then added to black and the darker colour taken of white,
        because the background is no data.
    """
    if blending == "additive":
        return _ALONE if lowest else _ADD
    if blending == "minimum":
        return _REPLACE if lowest else _DARKER
    return _MIX


def shader_opacity(blending: Blending, opacity: float) -> float:
    """What the shader multiplies alpha with."""
    return COVERING if blending == "opaque" else opacity


def mixes_white(blending: Blending) -> bool:
    """Whether colours leave the shader mixed with white, which is what leaves the darker one alone, instead of beside
    their alpha."""
    return blending == "minimum"
