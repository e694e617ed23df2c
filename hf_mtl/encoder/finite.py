"""Whether weights are numbers: a training that diverged, or a broken file, leaves infinite ones or none at all."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from hf_mtl._names import listed
from hf_mtl_light.errors import UserError

__all__ = ["check_finite"]


@torch.no_grad()
def check_finite(weights: Iterable[tuple[str, torch.Tensor]], owner: str) -> None:
    """Check that all weights are finite.

    Args:
        weights: Names and tensors; those without values (on the meta device) and those whose type has no infinity that
            torch can look for are passed over.
        owner: Whose they are, as the message begins.

    Raises:
        ValueError: Naming some that are not.
    """
    bad = [name for name, value in weights if not _is_finite(value)]
    if bad:
        raise UserError(
            f"{owner}: weights are infinite or not a number: {listed(bad, 3)}. Its training diverged, or its file is "
            "broken. Take an earlier checkpoint, or get the model again."
        )


def _is_finite(value: torch.Tensor) -> bool:
    if value.is_meta or not value.is_floating_point() or value.element_size() < 2 or not value.numel():
        return True
    # NaN is both its least and its greatest value.
    return bool(torch.stack(torch.aminmax(value)).isfinite().all())
