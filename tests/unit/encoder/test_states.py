import pytest
import torch

from hf_mtl.encoder import FlatLayout, FlatStates, PaddedStates

MASK = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]])
PADDED = torch.arange(12.0).view(3, 4, 1) * MASK[..., None]


def flat(padded, mask):
    layout = FlatLayout.from_mask(mask)
    return FlatStates(layout.flatten(padded), layout)


def test_padding_and_dropping_it_are_inverse():
    padded, mask = flat(PADDED, MASK).padded()
    assert torch.equal(padded, PADDED)
    assert torch.equal(mask, MASK)


def test_left_padding_gives_the_same_flat_states():
    left = flat(PADDED.flip(1), MASK.flip(1))
    assert left.layout.offsets.tolist() == [0, 3, 4, 6]
    assert left.values.flatten().tolist() == [2, 1, 0, 4, 9, 8]


def test_selected_rows_hold_their_own_tokens_in_the_order_asked_for():
    states = flat(PADDED, MASK).select(torch.tensor([2, 0]))
    assert states.values.flatten().tolist() == [8, 9, 0, 1, 2]
    assert states.layout.offsets.tolist() == [0, 2, 5]


def test_no_rows_can_be_selected():
    states = flat(PADDED, MASK).select(torch.tensor([], dtype=torch.long))
    assert states.values.shape == (0, 1)
    assert states.layout.offsets.tolist() == [0]


def test_pooling_equals_a_loop_over_texts():
    states = flat(PADDED, MASK)
    assert states.first().flatten().tolist() == [0, 4, 8]
    assert states.mean().flatten().tolist() == [1, 4, 8.5]


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_and_flat_states_are_the_same_to_heads(side):
    mask = MASK if side == "right" else MASK.flip(1)
    values = torch.randn(*mask.shape, 3)
    layout = FlatLayout.from_mask(mask)
    flat, padded = FlatStates(layout.flatten(values), layout), PaddedStates(values.flatten(0, 1), mask)
    labels = torch.arange(mask.numel()).view(mask.shape)
    for rows in (None, torch.arange(len(mask)).flip(0)):
        one, two = (flat, padded) if rows is None else (flat.select(rows), padded.select(rows))
        assert one.rows == two.rows
        assert torch.equal(one.first(), two.first())
        torch.testing.assert_close(one.mean(), two.mean())
        assert torch.equal(one.padded()[1], two.padded()[1])
        assert torch.equal(one.padded()[0] * one.padded()[1][..., None], two.padded()[0] * two.padded()[1][..., None])
        assert torch.equal(one.pad(one.values), two.pad(two.values))
        chosen = labels if rows is None else labels[rows]
        marked = two.flatten_labels(chosen, -100)
        assert torch.equal(one.flatten_labels(chosen, -100), marked[marked != -100])
