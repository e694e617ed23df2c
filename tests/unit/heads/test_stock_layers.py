"""The layers of stock classes: built once for a config, and each head's own."""

import torch

from hf_mtl.heads._stock import StockClassifier
from tests.encoders import tiny_config


def test_each_head_has_parameters_of_its_own_in_the_precision_in_force():
    config, default = tiny_config("bert"), torch.get_default_dtype()
    made = [StockClassifier("sequence", config, 3) for _ in range(2)]
    torch.set_default_dtype(torch.bfloat16)
    try:
        made.append(StockClassifier("sequence", config, 3))
    finally:
        torch.set_default_dtype(default)
    wider = StockClassifier("sequence", tiny_config("bert", hidden_size=64), 3, dropout=0.3)
    places = [parameter.data_ptr() for head in (*made, wider) for parameter in head.parameters()]
    assert len(set(places)) == len(places) == 16
    assert [next(head.parameters()).dtype for head in made] == [torch.float32, torch.float32, torch.bfloat16]
    assert wider.pooler.dense.weight.shape == (64, 64)
    # What one is given, such as another dropout, is not the next one's.
    assert wider.stock.dropout.p == 0.3
    assert StockClassifier("sequence", tiny_config("bert", hidden_size=64), 3).stock.dropout.p == 0.1
