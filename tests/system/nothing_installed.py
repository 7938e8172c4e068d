"""Loaded into a worker of dask (``--preload``): octree-serve is not installed there."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Any


def _not_there(package: str) -> str:
    raise importlib.metadata.PackageNotFoundError(package)


def dask_setup(worker: Any) -> None:  # noqa: ARG001
    importlib.metadata.version = _not_there
    sys.modules["octree_loader"] = None  # type: ignore[assignment]
