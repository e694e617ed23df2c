"""Adapters that were put on by hand are refused before anything is trained or lost."""

import pytest

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments
from tests.encoders import tiny_encoder
from tests.trainers import TASKS, make_data

peft = pytest.importorskip("peft")
# peft 0.21 reads a name that Transformers 5.23 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def on_the_model(model):
    return peft.get_peft_model(model, peft.LoraConfig(target_modules=["query"]))


def on_the_encoder(model):
    model.encoder = peft.get_peft_model(model.encoder, peft.LoraConfig(target_modules=["query"]))
    return model


def by_add_adapter(model):
    model.add_adapter(peft.LoraConfig(target_modules=["query"]))
    return model


@pytest.mark.parametrize("put_on", [on_the_model, on_the_encoder, by_add_adapter])
def test_adapters_are_refused_when_the_trainer_is_built_and_when_saving(put_on, tmp_path, tokenizer):
    model = put_on(MultiTaskModel.from_encoder(tiny_encoder(), TASKS))
    args = MultiTaskTrainingArguments(str(tmp_path / "out"), use_cpu=True)
    with pytest.raises(ValueError, match=r"peft are not supported.*merge_and_unload"):
        MultiTaskTrainer(model, args, make_data(), processing_class=tokenizer)
    if isinstance(model, MultiTaskModel):
        with pytest.raises(ValueError, match="peft are not supported"):
            model.save_pretrained(tmp_path / "saved")
        assert not (tmp_path / "saved").exists()
