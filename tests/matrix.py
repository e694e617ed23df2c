"""Print what works with which encoder family: ``python -m tests.matrix [family ...]``.

The families are those of `tests.encoders`, tiny and with random weights; the columns are `tests.encoder_checks.CHECKS`,
which the test suite runs, too. The status is 1 if anything failed.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
import warnings
from collections.abc import Callable

from transformers.utils import logging as transformers_logging

from tests.encoder_checks import CHECKS
from tests.encoders import DECODERS, FAMILIES, PAIRS

__all__ = ["main"]

_FAILED = "FAILED"


def _tried(check: Callable[[str], str], family: str) -> str:
    try:
        with contextlib.redirect_stdout(None):  # trainers print their logs
            return check(family)
    except Exception:
        traceback.print_exc()
        return _FAILED


def main(families: list[str]) -> int:
    """Print a row a family and return the exit status."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    transformers_logging.disable_progress_bar()
    families = families or [*FAMILIES, *PAIRS, *DECODERS]
    width = max(len("family"), *map(len, families))
    print("  ".join(["family".ljust(width), *CHECKS]))
    failed = 0
    for family in families:
        found = {name: _tried(check, family) for name, check in CHECKS.items()}
        failed += list(found.values()).count(_FAILED)
        cells = (cell.ljust(len(name)) for name, cell in found.items())
        print("  ".join([family.ljust(width), *cells]).rstrip(), flush=True)
    print(f"{len(families)} families, {len(families) * len(CHECKS)} checks, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
