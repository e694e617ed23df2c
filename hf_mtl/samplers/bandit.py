"""Bandit sampling: draw more of the datasets from which the model learns most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hf_mtl._names import listed, nearest
from hf_mtl._options import check_number
from hf_mtl.samplers._adaptive import AdaptiveSampler, Observation, State, as_list, from_list, mixed_in
from hf_mtl.samplers._base import Shares
from hf_mtl.samplers._rewards import HISTORY, scaled
from hf_mtl_light.errors import UserError

__all__ = ["BanditSampler"]

POLICIES = ("exp3", "thompson")
REWARDS = ("loss", "score")


@dataclass(frozen=True)
class BanditSampler(AdaptiveSampler):
    r"""Treat the datasets as the arms of a bandit, rewarded by what the model has gained.

    A dataset's reward in a stage is by how much its training loss fell, or its validation score rose, since it was
    last seen; rewards are brought to [-1, 1] by their own quantiles. A stage draws many times, so its estimate of the
    importance-weighted reward is the mean over its draws, :math:`\tilde r_d = \frac{k_d}{n} \frac{r_d}{p_d}` with
    :math:`k_d` of n draws.

    ``exp3``, with :math:`w_d = 0` at the start:

    .. math:: w_d \leftarrow \log \left( (1 - \gamma) e^{w_d + \eta \tilde r_d}
              + \frac{\gamma}{D - 1} \sum_{e \ne d} e^{w_e + \eta \tilde r_e} \right), \qquad
              p_d = (1 - \epsilon) \frac{e^{w_d}}{\sum_e e^{w_e}} + \frac{\epsilon}{D}

    that is Exp3.S, which follows when another dataset becomes the best; :math:`\gamma = 0` gives EXP3 itself.

    ``thompson``, with a = b = 1 at the start and :math:`s_d = (r_d + 1) / 2` for datasets that were seen:

    .. math:: (a_d, b_d) \leftarrow (1 - \gamma) (a_d, b_d) + \gamma (1, 1) + (s_d, 1 - s_d)

    Each of a stage's ``interval`` steps draws :math:`\theta_d \sim \mathrm{Beta}(a_d, b_d)` for all datasets and votes
    for the greatest; p is the votes' distribution, mixed with :math:`\epsilon / D` in the same way.

    Args:
        interval: Steps of a stage, at least 1.
        policy: ``"exp3"`` or ``"thompson"``.
        reward: ``"loss"``: the fall of the training loss; ``"score"``: the rise of the validation score.
        mixing: The part :math:`\epsilon` of uniform sampling, in [0, 1].
        step_size: EXP3's :math:`\eta` for a stage, above 0.
        forgetting: How fast old rewards fade, :math:`\gamma` in [0, 1]; 0: never. Graves et al. let it fall as 1/t.

    Raises:
        ValueError: If an option is out of its range.

    Source: EXP3: P. Auer et al., The Nonstochastic Multiarmed Bandit Problem, SIAM J. Computing 32, 2002, figures
    1 and 4, in the form and with the rewards of A. Graves et al., Automated Curriculum Learning for Neural Networks,
    ICML 2017, sections 2.2 and 3. Thompson sampling: H. Guo, R. Pasunuru, M. Bansal, AutoSeM: Automatic Task Selection
    and Mixing in Multi-Task Learning, NAACL 2019, section 3.2; fractional successes stand for the coin that S.
    Agrawal, N. Goyal, COLT 2012, algorithm 2, toss with that probability.
    """

    policy: str = "exp3"
    reward: str = "loss"
    mixing: float = 0.05
    step_size: float = 0.2
    forgetting: float = 0.02

    def __post_init__(self) -> None:
        for name, value, choices in (("policy", self.policy, POLICIES), ("reward", self.reward, REWARDS)):
            if value not in choices:
                raise UserError(
                    f"{name} must be one of {listed(choices)}, found {value!r}.{nearest(str(value), choices)}"
                )
        check_number("interval", self.interval, 1, whole=True)
        check_number("mixing", self.mixing, 0, 1)
        check_number("step_size", self.step_size, 0, above=True)
        check_number("forgetting", self.forgetting, 0, 1)

    @property
    def needs_scores(self) -> bool:  # type: ignore[override]  # here it depends on an option
        """Whether rewards are scores."""
        return self.reward == "score"

    def begin(self, sizes: Mapping[str, int]) -> State:
        """Return weights, or successes and failures, before any reward."""
        count = len(sizes)
        known: State = {"last": [None] * count, "history": []}
        if self.policy == "exp3":
            return {**known, "weights": [0.0] * count}
        return {**known, "successes": [1.0] * count, "failures": [1.0] * count}

    def learn(self, state: State, seen: Observation) -> State:
        """Return the state after a stage's rewards."""
        last, now = from_list(state["last"]), seen.scores if self.needs_scores else seen.losses
        gains = now - last if self.needs_scores else last - now
        history = [*state["history"], *gains[~np.isnan(gains)].tolist()][-HISTORY:]
        rewards = scaled(gains, history)
        known: State = {"last": as_list(np.where(np.isnan(now), last, now)), "history": history}
        if self.policy == "exp3":
            return {**known, "weights": self._exp3(from_list(state["weights"]), rewards, seen).tolist()}
        return {**known, **self._counted(state, rewards)}

    def _exp3(
        self, weights: npt.NDArray[np.float64], rewards: npt.NDArray[np.float64], seen: Observation
    ) -> npt.NDArray[np.float64]:
        importance = np.divide(seen.drawn, seen.shares, out=np.zeros_like(seen.drawn), where=seen.shares > 0)
        weights = weights + self.step_size * importance * np.nan_to_num(rewards)
        # Only differences count; without the greatest the exponentials stay finite.
        powers = np.exp(weights - weights.max())
        others = (powers.sum() - powers) / max(len(powers) - 1, 1)
        mixed: npt.NDArray[np.float64] = np.log(
            np.maximum((1 - self.forgetting) * powers + self.forgetting * others, 1e-300)
        )
        return mixed

    def _counted(self, state: State, rewards: npt.NDArray[np.float64]) -> State:
        success = np.nan_to_num((rewards + 1) / 2)
        failure = np.nan_to_num((1 - rewards) / 2)
        return {
            name: ((1 - self.forgetting) * from_list(state[name]) + self.forgetting + more).tolist()
            for name, more in (("successes", success), ("failures", failure))
        }

    def choose(self, state: State, key: tuple[int, int]) -> Shares:
        """Return the policy's shares."""
        if self.policy == "exp3":
            powers = np.exp(from_list(state["weights"]))
            return mixed_in(powers / powers.sum(), self.mixing)
        random = np.random.Generator(np.random.PCG64([number % 2**64 for number in key]))
        shape = (self.interval, len(state["successes"]))
        best = random.beta(from_list(state["successes"]), from_list(state["failures"]), shape).argmax(axis=1)
        return mixed_in(np.bincount(best, minlength=shape[1]) / self.interval, self.mixing)
