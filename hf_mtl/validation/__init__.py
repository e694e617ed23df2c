"""How good a model is, and what made it so: cross-validation, one model against one each.

`make_folds` cuts training rows into folds that share no text.
"""

from __future__ import annotations

from hf_mtl.validation._folds import Splitter, make_folds
from hf_mtl.validation._stratify import IterativeStratifiedKFold
from hf_mtl.validation._texts import normalised

__all__ = ["IterativeStratifiedKFold", "Splitter", "make_folds", "normalised"]
