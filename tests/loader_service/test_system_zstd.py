"""Decoding by the system's zstd library, compared with numcodecs' own copy."""

from __future__ import annotations

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor

import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_loader.sources import codecs
from octree_loader.sources.system_zstd import Decompress, system_decompress

VOXELS = np.random.default_rng(1).integers(0, 16, 4096, dtype=np.uint16)
FRAME = bytes(numcodecs.Zstd(3, checksum=True).encode(VOXELS))


@pytest.fixture(scope="module")
def decompress() -> Decompress:
    found = system_decompress()
    if found is None:
        pytest.skip("this system has no zstd library")
    return found


def test_decodes_into_the_array(decompress: Decompress) -> None:
    out = np.zeros((64, 64), np.uint16)
    assert decompress(memoryview(bytearray(FRAME)), out) == out.nbytes
    assert np.array_equal(out.reshape(-1), VOXELS)


def test_read_only_bytes_decode_too(decompress: Decompress) -> None:
    out = np.zeros(4096, np.uint16)
    assert decompress(memoryview(FRAME), out) == out.nbytes
    assert np.array_equal(out, VOXELS)


def test_writes_no_further_than_the_array_reaches(decompress: Decompress) -> None:
    room = np.full(4096 + 16, 0xABCD, np.uint16)
    with pytest.raises(ValueError, match="small"):
        decompress(memoryview(bytearray(FRAME)), room[:4000])
    assert np.all(room[4000:] == 0xABCD)


@given(st.integers(0, len(FRAME) - 1), st.integers(1, 255), st.booleans())
def test_damaged_frames_are_refused(at: int, flip: int, cut: bool) -> None:
    """A frame is cut off at a byte, or one of its bytes is changed; its checksum tells."""
    decode = codecs.decoder_of("zstd", VOXELS.nbytes)
    damaged = bytearray(FRAME[:at] if cut else FRAME)
    if not cut:
        damaged[at] ^= flip
    out = np.zeros(4096, np.uint16)
    try:
        decode(memoryview(damaged), out)
    except ValueError:
        return
    assert np.array_equal(out, VOXELS), "only what changes nothing goes through"


@pytest.mark.parametrize("decoded", [VOXELS.nbytes - 2, VOXELS.nbytes + 2])
def test_another_size_is_named(decoded: int) -> None:
    decode = codecs.decoder_of("zstd", decoded)
    with pytest.raises(ValueError, match=f"decodes to {VOXELS.nbytes} bytes where a chunk of this array has {decoded}"):
        decode(memoryview(bytearray(FRAME)), np.zeros(decoded, np.uint8))


def test_threads_have_tables_of_their_own(decompress: Decompress) -> None:
    together = threading.Barrier(4)

    def decode(number: int) -> bool:
        voxels = VOXELS + np.uint16(number)
        frame = memoryview(bytearray(numcodecs.Zstd(1).encode(voxels)))
        out = np.zeros(4096, np.uint16)
        together.wait(10)
        for _ in range(200):
            out[:] = 0
            decompress(frame, out)
            if not np.array_equal(out, voxels):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(decode, range(4)))


def test_without_the_library_numcodecs_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", none)
    system_decompress.cache_clear()
    try:
        assert system_decompress() is None
        out = np.zeros(4096, np.uint16)
        codecs.decoder_of("zstd", out.nbytes)(memoryview(bytearray(FRAME)), out)
        assert np.array_equal(out, VOXELS)
    finally:
        system_decompress.cache_clear()
