import pytest

from hf_mtl import MultiTaskTrainingArguments
from hf_mtl.trainer import _arguments


def arguments(tmp_path, **kwargs):
    return MultiTaskTrainingArguments(str(tmp_path), **kwargs)


def test_best_model_is_chosen_by_score_unless_told_otherwise(tmp_path):
    kwargs = {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"}
    chosen = arguments(tmp_path, **kwargs)
    assert (chosen.metric_for_best_model, chosen.greater_is_better) == ("score", True)
    told = arguments(tmp_path, metric_for_best_model="loss", **kwargs)
    assert (told.metric_for_best_model, told.greater_is_better) == ("loss", False)


@pytest.mark.parametrize("fast", [True, False])
def test_auto_precision_follows_the_machine(tmp_path, monkeypatch, fast):
    monkeypatch.setattr(_arguments, "cpu_has_fast_bfloat16", lambda: fast)
    assert arguments(tmp_path, use_cpu=True).bf16 is fast


def test_float32_can_be_asked_for(tmp_path):
    assert arguments(tmp_path, precision="float32").bf16 is False


def test_transformers_own_flag_goes_first(tmp_path):
    assert arguments(tmp_path, bf16=True, use_cpu=True, precision="float32").bf16 is True


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"sampling": "proportonal"}, "Did you mean 'proportional'"),
        ({"batching": "mixd"}, "Did you mean 'mixed'"),
        ({"precision": "bf16"}, "precision must be one of"),
        ({"encoder_layer_decay": 0.0}, "a number above 0 and at most 1, found 0.0"),
        ({"trunk_learning_rate": -1.0}, "trunk_learning_rate must be a number of at least 0"),
        ({"head_learning_rate": -1.0}, "at least 0"),
    ],
)
def test_wrong_values_are_refused(tmp_path, kwargs, words):
    with pytest.raises(ValueError, match=words):
        arguments(tmp_path, **kwargs)


def test_every_field_has_help_that_argparse_can_print(tmp_path):
    from transformers import HfArgumentParser

    text = HfArgumentParser(MultiTaskTrainingArguments).format_help()
    assert "--head_learning_rate" in text
