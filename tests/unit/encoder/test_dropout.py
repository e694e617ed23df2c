import pytest
import torch
from torch import nn

from hf_mtl.encoder import FastDropout, fast_dropout, set_fast_dropout


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5])
def test_share_of_zeros_is_p_and_the_mean_is_kept(p):
    torch.manual_seed(0)
    dropped = fast_dropout(torch.ones(1_000_003), p)
    # Five standard deviations of a share of a million draws.
    spread = 5 * (p * (1 - p) / 1e6) ** 0.5
    assert float((dropped == 0).float().mean()) == pytest.approx(p, abs=spread)
    assert float(dropped.double().mean()) == pytest.approx(1.0, abs=spread / (1 - p))
    assert dropped.unique().numel() == 2


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    zero = (fast_dropout(torch.ones(400_000), 0.5) == 0).double()
    # Four neighbours share one random integer: their correlation must vanish, too.
    for shift in (1, 2, 3, 4):
        assert float((zero[shift:] * zero[:-shift]).mean()) == pytest.approx(0.25, abs=0.005)


def test_gradient_passes_through_what_was_kept_alone():
    torch.manual_seed(0)
    values = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    dropped = fast_dropout(values, 0.3)
    dropped.sum().backward()
    torch.testing.assert_close(values.grad, (dropped / values).detach())


def test_nothing_is_dropped_at_zero_or_in_evaluation():
    values = torch.randn(100)
    assert torch.equal(fast_dropout(values, 0.0), values)
    assert torch.equal(FastDropout(0.5).eval()(values), values)


def test_everything_is_dropped_at_one():
    assert not FastDropout(1.0)(torch.ones(10)).any()


def test_dropouts_are_put_in_place_and_back():
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.2), nn.Sequential(nn.Dropout(0.4))).eval()
    set_fast_dropout(module, True)
    assert [type(m) for m in (module[1], module[2][0])] == [FastDropout, FastDropout]
    assert (module[1].p, module[2][0].p, module[1].training) == (0.2, 0.4, False)
    set_fast_dropout(module, False)
    assert [type(m) for m in (module[1], module[2][0])] == [nn.Dropout, nn.Dropout]
