"""From pictures to hidden states: what heads see of what an image encoder returns."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForMaskedLM, PreTrainedConfig, PreTrainedModel

from hf_mtl.encoder.states import PaddedStates
from hf_mtl_light.errors import UserError, UserTypeError

__all__ = ["ImageStates", "encode_images", "state_size"]


def state_size(config: PreTrainedConfig) -> int:
    """Return H, the features of a state: of ConvNeXt and its like those of the last stage.

    Of an encoder that reads texts and pictures with the same parameters they are those of its config of texts.

    Raises:
        TypeError: If the config does not say.
    """
    sizes = getattr(config, "hidden_sizes", None) or [None]
    size = getattr(config, "hidden_size", sizes[-1])
    if size is None and type(config) in AutoModelForMaskedLM._model_mapping:
        size = getattr(config.get_text_config(), "hidden_size", None)
    if size is None:
        raise UserTypeError(
            f"The config of the family {config.model_type!r} has no hidden_size, so heads cannot be put on its "
            "encoder. An encoder must return last_hidden_state [B, L, H] with H = config.hidden_size."
        )
    return int(size)


@dataclass(frozen=True)
class ImageStates(PaddedStates):
    """States of B pictures, all of L places: a class token and patches, or the places of a feature map.

    Args:
        values: [B * L, H].
        mask: [B, L], all ones.
        last: What the encoder returned as its last states, [B, L, H] or a feature map [B, H, height, width].
        grid: Rows and columns of the patches, which are the last of the places.
        pooled: What the encoder's own pooler made of them, [B, H], or nothing.
    """

    last: torch.Tensor
    grid: tuple[int, int]
    pooled: torch.Tensor | None = None

    @classmethod
    def of(cls, last: torch.Tensor, grid: tuple[int, int], pooled: torch.Tensor | None = None) -> ImageStates:
        """Return the states of what an encoder returned."""
        states = last.flatten(2).transpose(1, 2) if last.dim() == 4 else last
        mask = torch.ones(states.shape[:2], dtype=torch.long, device=states.device)
        return cls(states.flatten(0, 1), mask, last, grid, pooled)

    def to(self, dtype: torch.dtype) -> ImageStates:
        """Return the states in another precision."""
        pooled = None if self.pooled is None else self.pooled.to(dtype)
        return ImageStates(self.values.to(dtype), self.mask, self.last.to(dtype), self.grid, pooled)

    def with_values(self, values: torch.Tensor) -> ImageStates:
        """Return other states [N, H] of the same places, which no pooler of the encoder has seen."""
        return ImageStates.of(values.view(*self.mask.shape, -1), self.grid)

    def select(self, rows: torch.Tensor) -> ImageStates:
        """Return the states of some pictures, in the order of ``rows`` [R] int64."""
        pooled = None if self.pooled is None else self.pooled.index_select(0, rows)
        return ImageStates.of(self.last.index_select(0, rows), self.grid, pooled)

    def feature_map(self) -> torch.Tensor:
        """Return the states of the patches as they lie in the picture, [B, H, rows, columns]."""
        rows, columns = self.grid
        patches = self.values.view(*self.mask.shape, -1)[:, self.mask.shape[1] - rows * columns :]
        found: torch.Tensor = patches.transpose(1, 2).unflatten(2, self.grid)
        return found


def encode_images(
    encoder: PreTrainedModel, pixel_values: torch.Tensor, layers: bool = False, **kwargs: Any
) -> tuple[ImageStates, Sequence[torch.Tensor], Any]:
    """Run an encoder on pictures.

    Args:
        encoder: The encoder.
        pixel_values: [B, channels, height, width], as its image processor makes them.
        layers: Whether the states of the embeddings and of each layer are wanted, too.
        kwargs: Passed to the encoder.

    Returns:
        The last states; those of the embeddings and of each layer, each [B * L, H] as the last, or nothing; and all
        that the encoder returned.

    Raises:
        ValueError: If the pixels have another shape, or layers are wanted that differ from the last in theirs.
        TypeError: If the encoder returns no states.
    """
    if pixel_values.dim() != 4:
        raise UserError(f"pixel_values must be [B, channels, height, width], found {tuple(pixel_values.shape)}.")
    if layers:
        kwargs["output_hidden_states"] = True
    height, width = pixel_values.shape[-2:]
    usual = getattr(encoder.config, "image_size", None)
    is_usual = (height, width) == (tuple(usual) if isinstance(usual, (list, tuple)) else (usual, usual))
    if not is_usual and "interpolate_pos_encoding" in inspect.signature(encoder.forward).parameters:
        kwargs.setdefault("interpolate_pos_encoding", True)
    encoded: Any = encoder(pixel_values=pixel_values, return_dict=True, **kwargs)
    last = getattr(encoded, "last_hidden_state", None)
    if last is None or last.dim() not in (3, 4) or last.shape[0] != pixel_values.shape[0]:
        raise UserTypeError(
            f"{type(encoder).__name__} returned no last_hidden_state of the shape [B, L, H] or [B, H, height, width]."
        )
    pooled = encoded.get("pooler_output")
    grid = _grid(encoder.config, last, (height, width))
    states = ImageStates.of(last, grid, None if pooled is None else pooled.flatten(1))
    of_layers: list[torch.Tensor] = []
    if layers:
        of_layers = [ImageStates.of(values, grid).values for values in encoded.hidden_states]
        if {values.shape for values in of_layers} != {states.values.shape}:
            raise UserError(
                f"The layers of the family {encoder.config.model_type!r} differ in their shapes, so none can serve as "
                "the last. Leave out the tasks' field layers."
            )
    return states, of_layers, encoded


def _grid(config: PreTrainedConfig, last: torch.Tensor, size: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns of the patches.

    Args:
        config: The encoder's config.
        last: Its last states.
        size: Height and width of the pictures, in pixels.
    """
    if last.dim() == 4:
        return int(last.shape[2]), int(last.shape[3])
    patch = getattr(config, "patch_size", 1)
    edges = tuple(patch) if isinstance(patch, (list, tuple)) else (patch, patch)
    # Each stage of Swin and its like after the first joins two by two.
    stages = 2 ** (len(getattr(config, "depths", None) or [1]) - 1)
    whole = [pixels // (edge * stages) for pixels, edge in zip(size, edges, strict=True)]
    padded = [-(-pixels // (edge * stages)) for pixels, edge in zip(size, edges, strict=True)]
    # Families without stages leave out what no patch fits in; the others pad.
    rows, columns = padded if stages > 1 else whole
    return rows, columns
