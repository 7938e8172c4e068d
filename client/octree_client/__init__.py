"""Look at images too large to load: the client of octree-serve.

Scripts and notebooks use `open`, `connect`, `Viewer` and `show`; nothing of Qt or OpenGL is imported until a viewer is
made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from octree_client.reading import ChunkUnreadable, LevelArray
from octree_client.session import Image, Session, connect, open
from octree_client.transport.connection import ConnectionFailed, DatasetUnavailable
from octree_client.transport.embedded import DaemonDied
from octree_client.transport.trust import NotTrusted

if TYPE_CHECKING:
    from octree_client.gui.scripting import run, show
    from octree_client.viewer import Viewer

__all__ = [
    "ChunkUnreadable",
    "ConnectionFailed",
    "DaemonDied",
    "DatasetUnavailable",
    "Image",
    "LevelArray",
    "NotTrusted",
    "Session",
    "Viewer",
    "connect",
    "open",
    "run",
    "show",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})  # what is imported when it is asked for can be completed, too


def __getattr__(name: str) -> Any:
    if name == "Viewer":
        from octree_client.viewer import Viewer

        return Viewer
    if name in ("run", "show"):
        from octree_client.gui import scripting

        return getattr(scripting, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
