"""`make bench`: what it costs. Time by leg, bytes on the wire, heap, .mpy sizes, what a bridge carries, crypto.

Not a test: nothing here fails because a machine is slow. Each figure says how it was taken; see tests/benchmarks/report.py.
"""

import argparse
import importlib
import json
import signal
import sys
import time
from pathlib import Path

from host_sim.world import WorldError
from tests.benchmarks import report

# Section on the command line, and the module whose `run(quick)` prints it and returns its figures.
SECTIONS = {
    "legs": "legs",
    "bytes": "wire_bytes",
    "heap": "device_heap",
    "sizes": "sizes",
    "bridge": "sealed_path",
    "sessions": "live_sessions",
    "replicas": "replicas",
    "as": "authorization_server",
    "guessing": "guessing",
    "crypto": "crypto",
}
# A quarter of an hour and more: only where it is asked for.
LONG = ("guessing",)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measures Latchpin on this machine.")
    which = f"some of {', '.join(SECTIONS)} (default: all but {', '.join(LONG)})"
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=which)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: a smoke test, poor figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    args = parser.parse_args()
    if unknown := set(args.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    # SIGTERM unwinds as Ctrl-C does, so that every `finally` ends its processes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(report.machine(), flush=True)
    figures: dict[str, object] = {"machine": report.machine()}
    failed = False
    began = time.monotonic()
    try:
        for section in [name for name in SECTIONS if name in (args.sections or set(SECTIONS) - set(LONG))]:
            try:
                figures[section] = importlib.import_module(f"tests.benchmarks.{SECTIONS[section]}").run(args.quick)
            except WorldError as error:
                failed = True
                print(f"\n{section}: could not be measured: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    finally:
        if args.json:
            args.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\n{time.monotonic() - began:.0f} s in all. {report.load()}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
