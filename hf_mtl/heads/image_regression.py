"""One number, or several, for a picture."""

from __future__ import annotations

from hf_mtl.heads._picture_head import PictureHead
from hf_mtl.heads.regression import RegressionHead

__all__ = ["ImageRegressionHead"]


class ImageRegressionHead(PictureHead, RegressionHead):
    """Predict a number from a picture, or one for each of the task's ``labels``: all else is as in `RegressionHead`."""
