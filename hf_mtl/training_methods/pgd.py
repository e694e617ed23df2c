r"""PGD: train on each row moved by several steps against the model, within a norm.

.. math:: \delta \leftarrow \Pi_{\|\delta\| \le \epsilon}(\delta + \eta g / \|g\|), \quad g = \nabla_x L(x + \delta)

Source: A. Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, section 2.1, with the
Euclidean norm of each row's embeddings. Both losses are mixed as by `FGM`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hf_mtl.training_methods._adversary import MixedAdversary, SteppedAdversary

__all__ = ["PGD"]


@dataclass(frozen=True, kw_only=True)
class PGD(MixedAdversary, SteppedAdversary):
    """Moves each row by steps of ascent: see `MixedAdversary` and `SteppedAdversary`."""
