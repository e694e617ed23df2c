"""What `tests.warm` imports before it forks."""

import gc
import importlib

gc.disable()
for name in ("accelerate", "datasets", "hf_mtl.cli"):
    importlib.import_module(name)
# Forks need not look through all these objects when they collect garbage, as accelerate does.
gc.freeze()
gc.enable()
