"""The contract's tests use the daemons of the system's tests."""

from __future__ import annotations

from tests.system.conftest import (  # noqa: F401 - fixtures are found by their names here
    _factories_are_importable,
    folder,
    module_folder,
    shm,
    start_daemon,
    start_module_daemon,
)
