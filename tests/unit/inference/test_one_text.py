"""One text alone: the same answers by the shortest way, and by packed weights."""

import copy

import pytest
import torch
from torch import nn

from hf_mtl import predict
from hf_mtl.compatibility import packed_product
from hf_mtl.inference import make_answerer, pack_weights
from tests.unit.pipelines.scripts import TEXTS, make_model, make_tokenizer

FAMILIES = ["bert", "roberta", "albert", "gpt2"]


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return make_model(request.param)


def test_its_logits_are_those_of_a_padded_pass_bit_for_bit(model, tokenizer):
    padded = copy.deepcopy(model)
    padded.unpad = False
    answerer = make_answerer(model, tokenizer)
    for text in TEXTS:
        windows = answerer.encoder.encode([answerer.read(text, 0)])[0].windows
        found = answerer.run(windows, answerer.names)
        with torch.inference_mode():
            expected = padded(**tokenizer(text, return_tensors="pt")).logits
        for name, logits in expected.items():
            assert torch.equal(torch.from_numpy(found[name]).view_as(logits), logits), (name, text)


def test_packed_weights_answer_alike(model, tokenizer):
    packed = pack_weights(model)
    plain, faster = (list(predict(one, tokenizer, TEXTS, batch_size=1)) for one in (model, packed))
    for one, other in zip(plain, faster, strict=True):
        assert one["topic"]["label"] == other["topic"]["label"]
        assert one["topic"]["score"] == pytest.approx(other["topic"]["score"], abs=1e-5)
        assert [entity["word"] for entity in one["names"]] == [entity["word"] for entity in other["names"]]


@pytest.mark.skipif(packed_product() is None, reason="this build of torch has no oneDNN")
def test_a_packed_model_shares_parameters_trains_and_is_saved_as_the_other(model, tokenizer, tmp_path):
    before = [type(module) for module in model.modules()]
    packed = pack_weights(model)
    assert [type(module) for module in model.modules()] == before
    assert any(isinstance(module, nn.Linear) and type(module) is not nn.Linear for module in packed.modules())
    assert {n: p.data_ptr() for n, p in packed.named_parameters()} == {
        n: p.data_ptr() for n, p in model.named_parameters()
    }
    batch = dict(tokenizer(TEXTS[0], return_tensors="pt"))
    for gradient, half in ((True, False), (False, True)):
        with torch.set_grad_enabled(gradient), torch.autocast("cpu", torch.bfloat16, enabled=half):
            one, other = (m(**batch).last_hidden_state for m in (model, packed))
        assert torch.equal(one, other)
    packed.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert all(torch.equal(p, again.get_parameter(n)) for n, p in model.named_parameters())
