"""Temperature sampling: between proportional and uniform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hf_mtl._options import check_number
from hf_mtl.samplers._base import DatasetSampler, Shares, normalised

__all__ = ["TemperatureSampler"]


@dataclass(frozen=True)
class TemperatureSampler(DatasetSampler):
    r"""Draw datasets with probability proportional to ``size ** (1 / temperature)``.

    .. math:: p_d = n_d^{1/T} / \sum_e n_e^{1/T}

    At 1 this is proportional sampling; as it grows, uniform.

    Args:
        temperature: Flattening strength T, dimensionless, at least 1.

    Raises:
        ValueError: If ``temperature`` is below 1.

    Source: C. Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer (T5),
    JMLR 21, 2020, section 3.5.2, temperature-scaled mixing. Multilingual models state the exponent
    :math:`\alpha = 1/T`: G. Lample, A. Conneau, Cross-lingual Language Model Pretraining (XLM), 2019, section 3.1
    (0.5); L. Xue et al., mT5, 2021, section 3.1 (0.3).

    >>> TemperatureSampler(temperature=2.0).probabilities({"trec": 100, "sst2": 400}).round(4)
    array([0.3333, 0.6667])
    """

    temperature: float = 2.0

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, 1)

    def probabilities(self, sizes: Mapping[str, int], step: int = 0, steps: int = 1) -> Shares:
        """Return the shares that the formula gives."""
        return normalised(np.array(list(sizes.values())) ** (1 / self.temperature))
