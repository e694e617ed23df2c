import torch

from hf_mtl.states import FlatStates, RowLayout

MASK = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]])
PADDED = torch.arange(12.0).view(3, 4, 1) * MASK[..., None]


def flat(padded, mask):
    layout = RowLayout.from_mask(mask)
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
