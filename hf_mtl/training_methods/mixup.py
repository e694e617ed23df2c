r"""Mixup: a text's vector is mixed with another text's, and its loss with the other's label likewise.

.. math:: \lambda \, L(z, y) + (1 - \lambda) \, L(z, y'), \qquad z = f(\lambda v + (1 - \lambda) v'), \quad
    \lambda \sim \mathrm{Beta}(\alpha, \alpha)

with the pooled vectors :math:`v` and :math:`v'` of both texts, their labels :math:`y` and :math:`y'`, and the layers
:math:`f` of the head above the pooling.

Source: H. Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018; of sentence vectors H. Guo, Y. Mao,
R. Zhang, Augmenting Data with Mixup for Sentence Classification, 2019, section 3 (senMixup). Common code mixes rows of
one batch; here the other text is drawn from the training rows by the row itself, so that a step does not depend on how
it is cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_mtl._names import listed
from hf_mtl.training_methods._base import TrainingMethod, TrainingStart
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from hf_mtl.heads import Head

__all__ = ["Mixup"]


@dataclass(frozen=True, kw_only=True)
class Mixup(TrainingMethod):
    """Trains on mixtures of texts in place of texts, for tasks that answer once a text.

    Args:
        alpha: Both parameters of the Beta distribution, at least 0: a small one mixes little; at 0 nothing is mixed.
        tasks: Names of the tasks; ``None``: all that answer once a text.

    Raises:
        ValueError: If an option is out of its range.
    """

    alpha: float = 0.2

    def check(self, name: str, heads: Mapping[str, Head]) -> None:
        """Check that the tasks answer once a text.

        Raises:
            ValueError: If one that is named does not, or none does.
        """
        from hf_mtl.training_methods._mixing import is_pooled

        super().check(name, heads)
        possible = [task for task, head in heads.items() if is_pooled(head)]
        for task in self.tasks or ():
            if task not in possible:
                raise UserError(
                    f"method {name!r}, task {task!r}: tasks of the type {heads[task].task.type!r} do not read one "
                    "vector of a text, so there is none to mix. Leave it out of tasks."
                )
        if not possible:
            raise UserError(
                f"method {name!r} is for tasks that answer once a text, and there is none among {listed(heads)}. Leave "
                "it out."
            )

    def begin(self, start: TrainingStart) -> TrainingMethod:
        """Return the method with the rows that it draws from."""
        from hf_mtl.data import MultiTaskCollator
        from hf_mtl.training_methods._mixing import Mixing, is_pooled

        heads = {name: head for name, head in start.heads.items() if self.takes(name) and is_pooled(head)}
        pools = {task: [dataset for dataset in start.datasets.values() if task in dataset.tasks] for task in heads}
        collator = MultiTaskCollator(
            start.tokenizer,
            [head.task for head in heads.values()],
            {name: type(head) for name, head in heads.items()},
            start.max_length,
        )
        return Mixing(alpha=self.alpha, tasks=list(heads), pools=pools, collator=collator)
