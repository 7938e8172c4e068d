"""Opening a pyramid of 10^9 chunks: how long, and how much memory. Only its metadata exist."""

from __future__ import annotations

import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.figures import Measurements
from tests.bench.sections import Options

import octree_client
from octree_loader.catalog import plan_spec
from octree_loader.sources.base import SourceSpec

_CHUNK = 256

#: Chunks along an edge of level 0.
_SMALL, _LARGE = 32, 31_623


def measure(options: Options) -> Measurements:
    """Cold in a daemon of its own, and in this process, where memory can be measured."""
    found = Measurements()
    with tempfile.TemporaryDirectory() as folder:
        small, large = (_write(Path(folder), edge) for edge in (_SMALL, _LARGE))
        for _ in range(options.repeat):
            took: dict[Path, float] = {}
            for path in (small, large):
                with octree_client.open(path) as session:
                    began = time.perf_counter()
                    session.dataset()
                    took[path] = (time.perf_counter() - began) * 1e3
            note = f"10^3 chunks: {took[small]:.0f} ms"
            found.add(
                "opening a pyramid of 10^9 chunks, from the question to the answer", "ms", took[large], 300, note=note
            )
            plan_spec(0, SourceSpec("small", str(small)), _CHUNK)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began = time.perf_counter()
            plan_spec(0, SourceSpec("large", str(large)), _CHUNK)
            found.add("the same without the daemon", "ms", (time.perf_counter() - began) * 1e3)
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            found.add("memory that 10^9 chunks take more than 10^3", "MiB", grown, 1.0)
    return found


def _write(folder: Path, edge: int) -> Path:
    path = folder / f"{edge}.zarr"
    datasets: list[dict[str, Any]] = []
    size, factor = edge * _CHUNK, 1.0
    while not datasets or size * 2 > _CHUNK:
        number = str(len(datasets))
        (path / number).mkdir(parents=True)
        (path / number / "zarr.json").write_text(json.dumps(_array(size)))
        scale = {"type": "scale", "scale": [factor] * 2}
        shift = {"type": "translation", "translation": [(factor - 1) / 2] * 2}
        datasets.append({"path": number, "coordinateTransformations": [scale, shift]})
        if size <= _CHUNK:
            break
        size, factor = -(-size // 2), factor * 2
    axes = [{"name": name, "type": "space"} for name in "yx"]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    (path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}))
    return path


def _array(size: int) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [size, size],
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [_CHUNK, _CHUNK]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {},
    }
