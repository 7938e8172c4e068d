"""Tells systemd how the daemon is: the datagrams of ``sd_notify(3)``, and nothing else.

Knows neither what readiness is nor when to say what.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping


class Notifier:
    """Says ``NAME=VALUE`` to a service manager. What it does not take is lost, and stops nobody.

    Parameters
    ----------
    place
        As in ``NOTIFY_SOCKET``: a path, or ``@`` and an abstract name.
    watchdog
        Seconds within which it wants to hear ``WATCHDOG=1``; 0 if it does not.
    """

    def __init__(self, place: str, watchdog: float = 0.0) -> None:
        self._place = "\0" + place[1:] if place.startswith("@") else place
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self.watchdog = watchdog

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier | None:
        """Of the service manager that started this process, if one did.

        Takes the variables away, so that what reads data in our workers has nobody to talk to.
        """
        place = environ.pop("NOTIFY_SOCKET", "")
        microseconds, process = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        if not place.startswith(("/", "@")):
            return None
        meant = microseconds.isdecimal() and process in ("", str(os.getpid()))
        return cls(place, int(microseconds) * 1e-6 if meant else 0.0)

    def say(self, **assignments: str) -> None:
        """One datagram, e.g. ``say(READY="1", STATUS="serving")``."""
        lines = (f"{name}={' '.join(value.split())}" for name, value in assignments.items())
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._place)

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()
