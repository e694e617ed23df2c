"""A recipe's size of pictures: they are resized to it as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_mtl.recipe._mistakes import RecipeError

__all__ = ["check_image_size", "resizing"]

#: Pixels of an edge: an encoder's time grows with the square of the patches.
_LARGEST = 4096


def check_image_size(given: int | Sequence[int] | None) -> None:
    """Check the key ``image_size``.

    Raises:
        RecipeError: If it is not an edge in pixels, or a height and a width.
    """
    if given is None:
        return
    edges = [given] if isinstance(given, int) else list(given)
    if len(edges) not in ((1,) if isinstance(given, int) else (2,)) or not all(0 < e <= _LARGEST for e in edges):
        raise RecipeError(
            "image_size",
            f"expected pixels of an edge, or [height, width], each from 1 to {_LARGEST:,}, found {given!r}.",
        )


def resizing(given: int | Sequence[int] | None, config: Any) -> dict[str, Any]:
    """Return the arguments of an image processor that resizes pictures to a size and cuts nothing off.

    Args:
        given: The key ``image_size``; ``None``: pictures are made into pixels as the encoder's own processor does.
        config: The config of the encoder.

    Raises:
        RecipeError: If the encoder's patches do not fill pictures of this size: what they leave out is not seen.
    """
    if given is None:
        return {}
    height, width = (given, given) if isinstance(given, int) else given
    patch = getattr(config, "patch_size", None)
    patches = patch if isinstance(patch, (list, tuple)) else (patch, patch)
    for pixels, edge in zip((height, width), patches, strict=True):
        if isinstance(edge, int) and edge and pixels % edge:
            near = [edge * count for count in (pixels // edge, pixels // edge + 1) if count]
            raise RecipeError(
                "image_size",
                f"{pixels} pixels are no multiple of {edge}, the edge of the encoder's patches. Write "
                f"{' or '.join(map(str, near))}.",
            )
    return {"size": {"height": height, "width": width}, "do_center_crop": False}
