"""``python -m hf_mtl_light``: the command."""

from __future__ import annotations

import sys

from hf_mtl_light._command import main

if __name__ == "__main__":
    sys.exit(main())
