"""Teachers' answers stored in bulk, for a training that learns from them: from many models to one.

`store_predictions` writes the file that `hf_mtl.training_methods.Distillation` reads.
"""

from __future__ import annotations

from hf_mtl.distillation._store import store_predictions

__all__ = ["store_predictions"]
