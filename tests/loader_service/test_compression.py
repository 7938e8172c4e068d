"""Compression where it pays: by measurement, on each dataset and for each link."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from octree_loader.transport.compression import Compression, Encoded, encode

BOTH = ("zstd", "lz4")


def settled(compression: Compression, rate: float, speeds: dict[str, tuple[float, float]], dataset: int = 0) -> str:
    """What it has come to choose for a link, with codecs of such (bytes a second, share left)."""
    chosen: list[str] = []
    for _ in range(40):
        codec = compression.choose(dataset, BOTH, rate)
        chosen.append(codec)
        if codec:
            speed, left = speeds[codec]
            compression.observe(dataset, codec, 1000, Encoded(codec, bytes(int(1000 * left)), 1000 / speed))
    assert len(set(chosen[-20:])) == 1
    return chosen[-1]


GOOD = {"lz4": (500e6, 0.6), "zstd": (200e6, 0.4)}


@pytest.mark.parametrize(("rate", "choice"), [(1.25e6, "zstd"), (12.5e6, "zstd"), (110e6, "lz4"), (1e9, ""), (8e9, "")])
def test_the_slower_the_link_the_harder_it_compresses(rate: float, choice: str) -> None:
    assert settled(Compression(), rate, GOOD) == choice


def test_noise_is_not_compressed_on_any_link_but_images_of_the_same_daemon_are() -> None:
    compression = Compression()
    assert settled(compression, 50e6, {"lz4": (500e6, 1.0), "zstd": (200e6, 1.0)}, dataset=1) == ""
    assert settled(compression, 50e6, GOOD, dataset=2) == "zstd"


def test_a_codec_is_tried_again_now_and_then() -> None:
    compression = Compression()
    settled(compression, 1e9, GOOD)
    assert {compression.choose(0, BOTH, 1e9) for _ in range(300)} == {"", "lz4", "zstd"}


def test_as_long_as_nobody_knows_the_link_nothing_is_compressed() -> None:
    assert Compression().choose(0, BOTH, None) == ""


@pytest.mark.parametrize("choice", ["none", "lz4", "zstd"])
def test_a_fixed_choice_is_kept(choice: str) -> None:
    compression = Compression(choice)
    expected = "" if choice == "none" else choice
    for rate in (None, 1e6, 1e10):
        assert compression.choose(0, BOTH, rate) == expected
    assert compression.choose(0, (), 1e6) == ""


@pytest.mark.parametrize("codec", BOTH)
def test_what_is_encoded_is_shorter_and_what_is_not_stays_as_it_is(codec: str) -> None:
    ticks = itertools.count(0.0, 0.5)
    smooth = np.arange(4096, dtype="<u2").tobytes()
    encoded = encode(bytes(8192), codec, lambda: next(ticks))
    assert (encoded.encoding, encoded.seconds) == (codec, 0.5)
    assert len(encoded.data) < 200
    noise = np.random.default_rng(1).bytes(8192)
    assert encode(noise, codec, time.thread_time)[:2] == ("", noise)
    assert len(encode(smooth, codec, time.thread_time).data) <= len(smooth)
