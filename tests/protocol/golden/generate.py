"""Writes the golden frames of the protocol that is in the making: ``python -m tests.protocol.golden.generate``.

Run once for each version, before it is released. What is there already is never written again: a released frame must
decode for ever, so a test that fails on one says that the *code* is wrong.
"""

from __future__ import annotations

from pathlib import Path

from tests.protocol.golden import values_1_1

from octree_protocol import codec

FOLDER = Path(__file__).parent / "1.1"


def main() -> None:
    """Write what is missing."""
    FOLDER.mkdir(exist_ok=True)
    for name, message in {**values_1_1.FROM_CLIENT, **values_1_1.FROM_DAEMON}.items():
        path = FOLDER / f"{name}.hex"
        if not path.exists():
            path.write_text(codec.encode(message).hex(" ") + "\n")
            print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
