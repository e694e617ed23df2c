"""What `tests.warm` imports before it forks."""

import gc

import accelerate  # noqa: F401
import datasets  # noqa: F401

import hf_mtl.cli  # noqa: F401

# Forks need not look through all these objects when they collect garbage, as accelerate does.
gc.collect()
gc.freeze()
