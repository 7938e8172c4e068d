"""Copies parts of one texture into another within video memory, where OpenGL can (4.3, or ARB_copy_image).

Knows nothing of tiles. vispy has no call for it, so that it is asked for by name.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterable
from typing import Any

from vispy.gloo import gl

log = logging.getLogger("octree.layer")

#: Upper left corner in the source, that in the target, and shape; all (down, across) in texels.
Part = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

_INT = ctypes.c_int
_ARGUMENTS = [ctypes.c_uint, ctypes.c_uint, *[_INT] * 4, ctypes.c_uint, ctypes.c_uint, *[_INT] * 4, *[_INT] * 3]

_function: Any = None
_TEXTURE_2D = 0x0DE1


def _copier() -> Any:
    """``glCopyImageSubData``, or None where there is none."""
    global _function
    if _function is None:
        _function = False
        try:
            major, minor = (int(part) for part in str(gl.glGetParameter(gl.GL_VERSION)).split(" ")[0].split(".")[:2])
            if (major, minor) >= (4, 3):
                from vispy.gloo.gl import gl2

                _function = gl2._get_gl_func("glCopyImageSubData", None, _ARGUMENTS)
        except (AttributeError, RuntimeError, ValueError) as error:
            log.info("textures cannot be copied here: %s", error)
    return _function or None


def copy_parts(context: Any, source: Any, target: Any, parts: Iterable[Part]) -> bool:
    """Copy parts of a gloo texture into another one of the same format.

    Within a frame; both must be associated with its context, whose queue is flushed.

    Returns
    -------
    bool
        Whether they were copied; if not, the target holds nothing.
    """
    copy = _copier()
    if copy is None:
        return False
    parser = context.shared.parser
    handles = [parser.get_object(texture.id).handle for texture in (source, target)]
    while gl.glGetError():  # what was before is no concern of this
        pass
    for (y, x), (to_y, to_x), (height, width) in parts:
        copy(handles[0], _TEXTURE_2D, 0, x, y, 0, handles[1], _TEXTURE_2D, 0, to_x, to_y, 0, width, height, 1)
    return not gl.glGetError()
