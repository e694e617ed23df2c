r"""Perturbations of the embeddings of rows: added in a pass, measured, drawn.

A perturbation is [N, H]: for each of the N tokens of a batch, without padding, what is added to the output of the
encoder's token embeddings. Its norm is each row's, over all its tokens, or each token's; so it depends on the row
alone. A perturbation of the embedding matrix, as common code has it, sums the gradients of all rows of a batch that
share a token: its direction would depend on how a step is cut into batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import xxhash

from hf_mtl.encoder import FlatLayout, token_lookups
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.errors import UserError

__all__ = ["norms", "of_norm", "perturbed", "uniform_noise", "within"]


@contextmanager
def perturbed(model: MultiTaskModel, layout: FlatLayout, delta: torch.Tensor) -> Iterator[None]:
    """Add a perturbation to the embeddings of the passes within a context.

    Args:
        model: The model.
        layout: Where the N tokens of the batch lie.
        delta: [N, H], of the token embeddings' width.

    Raises:
        ValueError: If the encoder does not look its tokens up one by one.
    """
    count, reached = len(layout.index), []

    def add(module: Any, inputs: Any, embedded: torch.Tensor) -> torch.Tensor:
        reached.append(True)
        values = delta.to(embedded.dtype)
        if tuple(embedded.shape[:2]) == (layout.rows, layout.length):
            return embedded + layout.pad(values)
        if embedded.shape[0] != 1 or embedded.shape[1] < count or embedded.shape[2:] != delta.shape[1:]:
            raise UserError(f"{_who(model)} looks up embeddings of the shape {tuple(embedded.shape)}. {_WANTED}")
        # One row of all tokens, which tokens without meaning may follow.
        filler = values.new_zeros(embedded.shape[1] - count, values.shape[1])
        return embedded + torch.cat([values, filler])[None]

    handles = [module.register_forward_hook(add) for module in token_lookups(model.encoder)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if not reached:
        raise UserError(f"{_who(model)} does not look up its token embeddings in a pass. {_WANTED}")


_WANTED = (
    "Training methods that perturb embeddings need an encoder whose get_input_embeddings() gives a vector for each "
    "token of the batch. Leave the method out for this encoder."
)


def _who(model: MultiTaskModel) -> str:
    return f"The encoder of the family {model.encoder.config.model_type!r}"


def norms(values: torch.Tensor, layout: FlatLayout, scope: str) -> torch.Tensor:
    """Return the Euclidean norm of each token's row, or of each token, [N, 1] float64.

    Args:
        values: [N, H].
        layout: Where the tokens lie.
        scope: ``"row"`` or ``"token"``.
    """
    # In float64 squares of gradients neither vanish nor overflow.
    squares = values.detach().double().square().sum(1)
    if scope == "row":
        lengths = layout.lengths
        row = torch.repeat_interleave(torch.arange(layout.rows, device=lengths.device), lengths)
        squares = squares.new_zeros(layout.rows).index_add(0, row, squares)[row]
    return squares.sqrt()[:, None]


def of_norm(values: torch.Tensor, epsilon: float, layout: FlatLayout, scope: str) -> torch.Tensor:
    """Return a perturbation scaled to a norm; zero where its norm is zero.

    Args:
        values: [N, H].
        epsilon: The norm.
        layout: Where the tokens lie.
        scope: What has the norm: ``"row"`` or ``"token"``.
    """
    found = norms(values, layout, scope)
    factor = torch.where(found > 0, epsilon / found, 0.0)
    return (values.detach().double() * factor).to(values.dtype)


def within(values: torch.Tensor, epsilon: float, layout: FlatLayout, scope: str) -> torch.Tensor:
    """Return a perturbation whose norm is at most ``epsilon``: the nearest one.

    Args:
        values: [N, H].
        epsilon: The largest norm.
        layout: Where the tokens lie.
        scope: What has the norm: ``"row"`` or ``"token"``.
    """
    found = norms(values, layout, scope)
    factor = torch.where(found > epsilon, epsilon / found, 1.0)
    return (values.detach().double() * factor).to(values.dtype)


def uniform_noise(
    key: str, ids: torch.Tensor, layout: FlatLayout, like: torch.Tensor, epsilon: float, scope: str
) -> torch.Tensor:
    r"""Return noise that is a function of a key and each row's tokens, [N, H].

    Each number comes from :math:`\pm \epsilon / \sqrt{n H}`, n the tokens of its row (of a token: 1), so that no norm
    exceeds epsilon. Source: C. Zhu et al., FreeLB, ICLR 2020, algorithm 1.

    Args:
        key: Names the draw.
        ids: [N] int64 token ids.
        layout: Where the tokens lie.
        like: [V, H], whose width, type and device the noise has.
        epsilon: The largest norm.
        scope: What has that norm: ``"row"`` or ``"token"``.
    """
    rows, lengths = ids.cpu().split(layout.lengths.tolist()), layout.lengths
    drawn = []
    for row in rows:
        seed = xxhash.xxh3_64_intdigest(key.encode() + row.numpy().tobytes())
        generator = torch.Generator().manual_seed(seed)
        drawn.append(torch.rand(len(row), like.shape[1], generator=generator, dtype=torch.float64))
    values = (2 * torch.cat(drawn) - 1).to(like.device)
    counts = torch.repeat_interleave(lengths, lengths) if scope == "row" else torch.ones_like(ids)
    bound = epsilon / (counts.double() * like.shape[1]).sqrt()
    return (values * bound[:, None]).to(like.dtype)
