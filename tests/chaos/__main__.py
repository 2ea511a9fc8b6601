"""All faults, then the table: `make chaos`, which is `python -m tests.chaos`.

Arguments are passed on to pytest, as the tests to run. Ends with 0 when every row says yes.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tests.chaos.ledger import Ledger


def main() -> int:
    """Runs the scenarios and prints what became of them."""
    os.environ.setdefault("DEPARA_CHAOS", "full")
    # As after Ctrl-C, pytest then ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ledger = Ledger()
    started_s = time.monotonic()
    arguments = sys.argv[1:] or ["tests/chaos"]
    code = pytest.main(["-v", "--durations=0", *arguments], plugins=[ledger])
    print(f"\n{time.monotonic() - started_s:.0f} s\n\n{ledger.table()}")
    return 0 if code == pytest.ExitCode.OK and ledger.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
