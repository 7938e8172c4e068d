"""``octree-serve probe``: asks the health endpoint, for containers that have no curl and for scripts.

Imports nothing but the standard library: a probe is started every few seconds.
"""

from __future__ import annotations

import argparse
import sys
import urllib.error
import urllib.request

#: EX_UNAVAILABLE of sysexits.h.
EXIT_UNAVAILABLE = 69


def main(arguments: list[str]) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="octree-serve probe",
        description="Ask a daemon's health endpoint (serve.health). Ends with 0 if the answer is yes, with 69 if not.",
    )
    parser.add_argument("question", choices=("livez", "readyz", "metrics"), help="what to ask")
    parser.add_argument("--at", default="127.0.0.1:9777", metavar="HOST:PORT", help="serve.health of the daemon")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS", help="default 5")
    options = parser.parse_args(arguments)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business here
    try:
        with opener.open(f"http://{options.at}/{options.question}", timeout=options.timeout) as answer:
            sys.stdout.write(answer.read().decode())
            return 0
    except urllib.error.HTTPError as error:
        with error:
            sys.stdout.write(error.read().decode())
    except (OSError, ValueError) as error:
        print(f"octree-serve probe: no answer from {options.at}: {error}", file=sys.stderr)
    return EXIT_UNAVAILABLE
