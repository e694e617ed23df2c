"""``python -m hf_mtl.cli``: the command line without its script."""

from hf_mtl.cli import main

main()
