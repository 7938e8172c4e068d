"""Draws quads with a gloo program by the GL calls that this takes, and no others.

gloo's own draw looks every setting up by name, checks sizes that cannot have changed and asks GL for errors twice:
twice the work of the calls themselves, for each layer in each frame. Compiling, buffers, textures and uniforms stay
gloo's; what it has worked out of a program (`GlirProgram`) is used here as its own draw would use it. Knows nothing of
pieces or shaders.
"""

from __future__ import annotations

from typing import Any

from vispy.gloo import gl

from octree_client.visuals.blending import BlendState

#: Numbers of what OpenGL ES 2, whose names vispy has, does not have or vispy has no names for.
_EQUATIONS = {"func_add": 0x8006, "min": 0x8007}

_INDEX_BYTES, _CORNERS = 4, 6


def set_blending(context: Any, state: BlendState) -> None:
    """Have GL blend like this, whatever stands in the context's queue. Within a frame."""
    context.flush_commands()
    gl.glBlendEquationSeparate(_EQUATIONS[state.equation], _EQUATIONS["func_add"])
    gl.glBlendFuncSeparate(*(getattr(gl, f"GL_{factor.upper()}") for factor in state.factors))


def draw_quads(
    context: Any, program: Any, indices: Any, first: int, count: int, view: tuple[float, float, float, float]
) -> None:
    """Draw quads that follow each other in a program's vertex buffer. Within a frame.

    Parameters
    ----------
    context
        Of the canvas.
    program
        `gloo.Program` with everything set; its uniform ``u_view`` is set here.
    indices
        `gloo.IndexBuffer` of uint32, six for each quad of the vertex buffer.
    first, count
        Which of the quads; none are drawn for a count of 0, but the program is ready after that.
    view
        See `wide_camera.place_in`.
    """
    for needed in (program.glir, indices.glir):
        context.glir.associate(needed)
    context.flush_commands()
    parser = context.shared.parser
    known = parser.get_object(program.id)
    if known._validated:
        known.activate()
        for target, texture, unit in known._samplers.values():
            gl.glActiveTexture(gl.GL_TEXTURE0 + unit)
            gl.glBindTexture(target, texture)
        bound = 0
        for buffer, place, point, arguments, _ in known._attributes.values():
            if buffer != bound:
                gl.glBindBuffer(gl.GL_ARRAY_BUFFER, buffer)
                bound = buffer
            gl.glEnableVertexAttribArray(place)
            point(place, *arguments)
    else:
        known._pre_draw()  # the first time, with all that is to be checked
    gl.glUniform4f(known._handles["u_view"], *view)
    gl.glBindBuffer(gl.GL_ELEMENT_ARRAY_BUFFER, parser.get_object(indices.id).handle)
    gl.glDrawElements(gl.GL_TRIANGLES, _CORNERS * count, gl.GL_UNSIGNED_INT, _INDEX_BYTES * _CORNERS * first)
    gl.glBindBuffer(gl.GL_ELEMENT_ARRAY_BUFFER, 0)
    gl.glBindBuffer(gl.GL_ARRAY_BUFFER, 0)
    gl.glBindTexture(gl.GL_TEXTURE_2D, 0)
