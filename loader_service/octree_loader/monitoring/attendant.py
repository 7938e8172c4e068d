"""Says how the daemon is, to those who look after it: probes, Prometheus, systemd. One thread beside the daemon's.

It sees to it that every dataset is opened without anybody's asking, so that "ready" means something. Of the daemon's
loop it asks only that it calls a function now and then: what the function saw is the answer, and that it was called at
all is the proof that the loop turns. A daemon with neither health endpoint nor service manager has no attendant.
Decides nothing of readiness (`readiness`) and knows no socket (`http_listener`, `notify`).
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable

from octree_loader.loop import Loop
from octree_loader.monitoring.http_listener import Connection, HttpListener
from octree_loader.monitoring.http_text import Request
from octree_loader.monitoring.metrics import CONTENT_TYPE_LATEST, Exposition
from octree_loader.monitoring.notify import Notifier
from octree_loader.monitoring.observation import Observation
from octree_loader.monitoring.readiness import Readiness, judge, next_try

log = logging.getLogger("octree.health")

#: Seconds after which a loop that has not called back counts as hanging.
LOOP_PATIENCE = 3.0

#: What was observed is good for so long: whoever asks more often is told the same. Seconds.
FRESH = 1.0

#: While datasets are being opened they are looked at this often, later more seldom. Seconds.
_LOOK, _LOOK_LATER, _LATER = 0.1, 2.0, 10.0

#: A dataset that is still being opened after so many seconds does not keep systemd waiting.
READY_PATIENCE = 30.0

_TEXT = "text/plain; charset=utf-8"
_PATHS = ("/livez", "/readyz", "/metrics")


class Attendant:
    """Answers and notifies from `start` to `close`.

    Parameters
    ----------
    listen
        Host, port, and whether only this machine may ask; None for no HTTP.
    notifier
        To the service manager; None if there is none.

    Raises
    ------
    HealthUnavailable
        If the address cannot be bound.
    """

    def __init__(self, listen: tuple[str, int, bool] | None, notifier: Notifier | None) -> None:
        self._loop = Loop()
        self._notifier = notifier
        self._http: HttpListener | None = None
        if listen is not None:
            try:
                self._http = HttpListener(*listen, self._loop, self._requested)
            except BaseException:
                self._loop.close()
                raise
        self._exposition = Exposition()
        self._parts: list[str] = []
        self._call: Callable[[Callable[[], None]], None] | None = None
        self._observe: Callable[[], Observation] | None = None
        self._reopen: Callable[[tuple[str, ...]], None] | None = None
        self._waiting: list[tuple[Connection, Request, float]] = []
        self._asked = 0.0
        self._answered = 0.0
        self._seen: Observation | None = None
        self._readiness = judge((), None)
        self._scrape = b""
        self._scraped: Observation | None = None
        self._attended = 0.0
        self._next_look = self._next_ping = self._next_try = float("inf")
        self._tries = 0
        self._notified_ready = False
        self._told = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="octree-health", daemon=True)

    @property
    def url(self) -> str:
        """Of the health endpoint; empty if there is none."""
        return self._http.url if self._http is not None else ""

    # --- what the daemon says (in its own thread) --------------------------------------------------------------------

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def reached(self, part: str) -> None:
        """One of `readiness.PARTS` is up."""
        self._loop.call(lambda: self._parts.append(part))

    def attend(
        self,
        call: Callable[[Callable[[], None]], None],
        observe: Callable[[], Observation],
        reopen: Callable[[tuple[str, ...]], None],
    ) -> None:
        """The daemon's loop is about to turn.

        Parameters
        ----------
        call
            Has a function called in the daemon's thread, from any thread.
        observe, reopen
            Called there: what is there to see, and to open datasets by name, again if need be.
        """

        def begin() -> None:
            self._call, self._observe, self._reopen = call, observe, reopen
            self._attended = time.monotonic()
            self._next_look = self._attended
            if self._notifier is not None and self._notifier.watchdog:
                self._next_ping = self._attended

        self._loop.call(begin)

    def close(self, reason: str) -> None:
        """The daemon ends."""
        if self._notifier is not None:
            self._notifier.say(STOPPING="1", STATUS=f"ending: {reason}" if reason else "ending")
        self._ended.set()
        if self._thread.is_alive():
            self._loop.call(lambda: None)
            self._thread.join()
        if self._http is not None:
            self._http.close()
        if self._notifier is not None:
            self._notifier.close()
        self._loop.close()

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended.is_set():
            now = time.monotonic()
            try:
                self._loop.wait(max(0.0, self._due() - now) if self._due() < float("inf") else None)
                self._round(time.monotonic())
            except Exception:  # a mistake here must not take a daemon's probes away for good
                log.exception("the health endpoint stumbled")
                self._ended.wait(1.0)

    def _due(self) -> float:
        due = [self._next_look, self._next_ping, self._next_try]
        due += [until for _, _, until in self._waiting]
        http = self._http.next_look() if self._http is not None else None
        return min(due if http is None else [*due, http])

    def _round(self, now: float) -> None:
        if self._http is not None:
            self._http.look_over(now)
        if now >= self._next_look or now >= self._next_ping:
            if now >= self._next_ping and self._notifier is not None:
                self._next_ping = now + self._notifier.watchdog / 3
            self._next_look = float("inf")
            self._ask(now)
        if now >= self._next_try and self._call is not None and self._reopen is not None:
            self._next_try = float("inf")
            self._tries += 1
            again, reopen = self._readiness.unreadable, self._reopen
            self._call(lambda: reopen(again))
            self._next_look = now + _LOOK
        late = [entry for entry in self._waiting if entry[2] <= now]
        for entry in late:
            self._waiting.remove(entry)
            self._reply_hanging(entry[0], now)

    # --- the daemon's loop -------------------------------------------------------------------------------------------

    def _ask(self, now: float) -> None:
        """Have the loop look at itself, once at a time."""
        if self._asked or self._call is None or self._observe is None:
            return
        self._asked = now
        observe, tell = self._observe, self._loop.call

        def look() -> None:
            seen = None
            try:
                seen = observe()
            except Exception:  # in the daemon's own thread, where it would be the end of it
                log.exception("the daemon's books cannot be read")
            tell(lambda: self._observed(seen))

        self._call(look)

    def _observed(self, seen: Observation | None) -> None:
        now = time.monotonic()
        self._asked, self._answered = 0.0, now
        before = self._readiness
        if seen is not None:
            self._seen, self._readiness = seen, judge(self._parts, seen.datasets)
        waiting, self._waiting = self._waiting, []
        for connection, request, _ in waiting:
            self._reply(connection, request)
        self._tell_service_manager(now)
        if self._readiness.ready:
            self._next_try = float("inf")
            if not before.ready:
                log.info("ready: %s", self._readiness.sentence())
            return
        if before.unreadable != self._readiness.unreadable and self._readiness.unreadable:
            log.warning("not ready: %s", self._readiness.sentence())
        if self._readiness.settled and self._next_try == float("inf"):
            self._next_try = now + next_try(self._tries)
        elif not self._readiness.settled:
            self._next_look = now + (_LOOK if now - self._attended < _LATER else _LOOK_LATER)

    def _tell_service_manager(self, now: float) -> None:
        if self._notifier is None:
            return
        said: dict[str, str] = {}
        if not self._notified_ready and (self._readiness.settled or now - self._attended > READY_PATIENCE):
            self._notified_ready = True
            said["READY"] = "1"
        sentence = self._readiness.sentence()
        if sentence != self._told:
            self._told = said["STATUS"] = sentence
        if self._notifier.watchdog:
            said["WATCHDOG"] = "1"
        if said:
            self._notifier.say(**said)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _requested(self, connection: Connection, request: Request) -> None:
        now = time.monotonic()
        if request.path not in _PATHS:
            self._say(connection, 404, _TEXT, f"here are {', '.join(_PATHS)}\n".encode())
        elif self._call is None:
            self._readiness = judge(self._parts, None)
            self._reply(connection, request)
        elif now - self._answered < FRESH:
            self._reply(connection, request)
        else:
            self._waiting.append((connection, request, now + LOOP_PATIENCE))
            self._ask(now)

    def _reply(self, connection: Connection, request: Request) -> None:
        if request.path == "/livez":
            self._say(connection, 200, _TEXT, b"ok\n" if self._call is not None else b"starting\n")
        elif request.path == "/readyz":
            status = 200 if self._readiness.ready else 503
            self._say(connection, status, "application/json", _as_json(self._readiness))
        else:
            if self._scraped is None or self._scraped is not self._seen:
                self._scrape, self._scraped = self._exposition.text(self._seen, self._readiness), self._seen
            self._say(connection, 200, CONTENT_TYPE_LATEST, self._scrape)

    def _reply_hanging(self, connection: Connection, now: float) -> None:
        text = f"the daemon's loop has not turned for {now - self._asked:.1f} s\n"
        self._say(connection, 503, _TEXT, text.encode())

    def _say(self, connection: Connection, status: int, content_type: str, content: bytes) -> None:
        assert self._http is not None
        self._http.reply(connection, status, content_type, content)


def _as_json(readiness: Readiness) -> bytes:
    found = {
        "ready": readiness.ready,
        "reasons": readiness.reasons,
        "datasets": {"open": readiness.datasets_open, "all": readiness.datasets},
    }
    return json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n"
