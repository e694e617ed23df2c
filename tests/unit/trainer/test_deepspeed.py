"""DeepSpeed on two processes trains as one process does without it: make test-deepspeed, where it is installed."""

from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file

from hf_mtl import MultiTaskTrainingArguments
from tests.ranks import run_on_ranks
from tests.trainers import make_data, model_without_dropout

_SCRIPT = """
from tests.ranks import rank_and_folder, save
from tests.unit.trainer.test_deepspeed import trained

rank, folder = rank_and_folder()
save(rank, folder, trained(folder, STAGE))
"""


def trained(folder, stage=None):
    """Train three steps, save, and return the kind of the model and a score."""
    from hf_mtl import MultiTaskTrainer
    from tests.conftest import make_tokenizer

    given = {"use_cpu": True, "disable_tqdm": True, "precision": "float32", "save_strategy": "no", "max_steps": 3}
    if stage is not None:
        given["deepspeed"] = {
            "train_micro_batch_size_per_gpu": "auto",
            "gradient_accumulation_steps": "auto",
            "gradient_clipping": "auto",
            "zero_allow_untested_optimizer": True,
            "zero_optimization": {"stage": stage},
        }
    args = MultiTaskTrainingArguments(str(folder), optim="sgd", learning_rate=0.1, **given)
    args.per_device_train_batch_size = 8 // args.world_size
    trainer = MultiTaskTrainer(model_without_dropout(), args, make_data(), make_data(), make_tokenizer())
    trainer.train()
    loss = trainer.evaluate()["eval_loss"]
    trainer.save_model(str(folder / "final"))
    return type(trainer.model_wrapped).__name__, loss


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs DeepSpeed: make test-deepspeed")
@pytest.mark.parametrize("stage", [1, 2])
def test_two_processes_train_score_and_save_as_one_without(stage, tmp_path):
    kind, loss = trained(tmp_path / "one")
    assert kind == "MultiTaskModel"
    for wrapped, found in run_on_ranks(2, _SCRIPT.replace("STAGE", str(stage)), tmp_path, seconds=600):
        assert wrapped == "DeepSpeedEngine"
        assert found == pytest.approx(loss, abs=1e-5)
    one, two = (load_file(folder / "final" / "model.safetensors") for folder in (tmp_path / "one", tmp_path))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="DeepSpeed is installed")
def test_deepspeed_that_is_missing_is_named_with_its_remedy_before_a_model_is_loaded(tmp_path):
    with pytest.raises(ImportError, match=r"deepspeed needs the package of this name.*pip install deepspeed"):
        MultiTaskTrainingArguments(str(tmp_path), deepspeed={"zero_optimization": {"stage": 2}})


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs DeepSpeed: make test-deepspeed")
@pytest.mark.parametrize(
    ("stage", "kwargs", "message"),
    [(3, {}, "ZeRO stage 3"), (2, {"batching": "mixed"}, "deepspeed with batching='mixed'")],
)
def test_what_does_not_work_is_refused_before_a_model_is_loaded(stage, kwargs, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        MultiTaskTrainingArguments(
            str(tmp_path), use_cpu=True, deepspeed={"zero_optimization": {"stage": stage}}, **kwargs
        )
