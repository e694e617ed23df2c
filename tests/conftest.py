"""Small real parts for tests: a tokenizer, encoders with random weights, datasets."""

from __future__ import annotations

import gc
import os
from pathlib import Path

# Before any Hugging Face library is imported: nothing in the tests may reach for a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from hypothesis import settings
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, PreTrainedTokenizerFast

from tests.encoders import tiny_config
from tests.hostile.counts import lines_of_counts

# No deadlines: shared machines pause. The seed is fixed so that a run's verdict is the code's, not the day's.
settings.register_profile("suite", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("suite")

#: Files of tests/unit that take seconds of a core: not for the inner loop.
SLOW = frozenset(
    (
        "unit/augmentation/test_training.py",
        "unit/cli/test_killed.py",
        "unit/cli/test_merge.py",
        "unit/cli/test_start.py",
        "unit/configuration/test_untrusted.py",
        "unit/data/test_content.py",
        "unit/data/test_pictures.py",
        "unit/distillation/test_store.py",
        "unit/encoder/test_first_tokens.py",
        "unit/export/test_export.py",
        "unit/export/test_names_of_outputs.py",
        "unit/export/test_onnx.py",
        "unit/heads/test_masked_lm.py",
        "unit/heads/test_multi_label.py",
        "unit/heads/test_multi_target.py",
        "unit/heads/test_multiple_choice.py",
        "unit/heads/test_object_detection.py",
        "unit/heads/test_own_head.py",
        "unit/heads/test_question_answering.py",
        "unit/heads/test_soft_labels.py",
        "unit/heads/test_tagging.py",
        "unit/heads/test_tied_heads.py",
        "unit/inference/test_finite.py",
        "unit/inference/test_options_are_read.py",
        "unit/light/test_describing.py",
        "unit/metrics/test_class_metrics.py",
        "unit/metrics/test_streaming_metric.py",
        "unit/metrics/test_tag_metrics.py",
        "unit/model/test_adapters.py",
        "unit/model/test_loading.py",
        "unit/model/test_model.py",
        "unit/model/test_saved_whole.py",
        "unit/model/test_task_names.py",
        "unit/model_card/test_model_card.py",
        "unit/pipelines/test_against_stock.py",
        "unit/pipelines/test_pipeline.py",
        "unit/pipelines/test_threads.py",
        "unit/recipe/test_continued.py",
        "unit/recipe/test_labels_in_files.py",
        "unit/recipe/test_recipe.py",
        "unit/relations/test_measure.py",
        "unit/report/test_errors_page.py",
        "unit/report/test_report.py",
        "unit/samplers/test_samplers.py",
        "unit/serving/test_serving.py",
        "unit/samplers/test_spread.py",
        "unit/stock/test_stock.py",
        "unit/surgery/test_average.py",
        "unit/surgery/test_interpolate.py",
        "unit/surgery/test_surgery.py",
        "unit/test_sklearn.py",
        "unit/trainer/test_adaptive_sampling.py",
        "unit/trainer/test_averaging.py",
        "unit/trainer/test_balancing.py",
        "unit/trainer/test_beside_stock.py",
        "unit/trainer/test_by_name.py",
        "unit/trainer/test_calibration.py",
        "unit/trainer/test_checkpoints.py",
        "unit/trainer/test_construction.py",
        "unit/trainer/test_data_checks.py",
        "unit/trainer/test_divergence.py",
        "unit/trainer/test_every_argument.py",
        "unit/trainer/test_freed_memory.py",
        "unit/trainer/test_images.py",
        "unit/trainer/test_names_of_tasks.py",
        "unit/trainer/test_ranks.py",
        "unit/trainer/test_resuming.py",
        "unit/trainer/test_seam.py",
        "unit/trainer/test_search.py",
        "unit/trainer/test_sharding.py",
        "unit/trainer/test_speed.py",
        "unit/trainer/test_trainer.py",
        "unit/trainer/test_unfreezing.py",
        "unit/training_methods/test_distillation.py",
        "unit/training_methods/test_methods.py",
        "unit/training_methods/test_mixup.py",
        "unit/validation/test_compare.py",
        "unit/validation/test_cross_validate.py",
        "unit/validation/test_errors.py",
    )
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as ``fast`` the doctests and the tests of tests/unit, but for files that take long."""
    root = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(root).as_posix() if item.path.is_relative_to(root) else ""
        if isinstance(item, pytest.DoctestItem) or (place.startswith("unit/") and place not in SLOW):
            item.add_marker(pytest.mark.fast)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what was imported, which is there until the end.

    accelerate collects garbage at the beginning of each training. To look through all objects of the libraries took
    half a second of a core, more than the steps of a small training.
    """
    gc.collect()
    gc.freeze()


_WORDS = (  # noqa: SIM905  # one string reads better than a hundred literals
    "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f g h i j k l m n o p q r s t u v w x y z ##a ##b ##c ##d "
    "##e ##f ##g ##h ##i ##j ##k ##l ##m ##n ##o ##p ##q ##r ##s ##t ##u ##v ##w ##x ##y ##z good bad "
    "film book play song by in the paris rome anna bob is was not very ! , . ? 1 2 3 ##ing"
).split()


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Build a lower-casing WordPiece tokenizer whose pieces cover every lower-case word."""
    backend = Tokenizer(models.WordPiece({w: i for i, w in enumerate(_WORDS)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many hostile cases ran, by kind and verdict; here, since a run in several processes reads no other."""
    for line in lines_of_counts(terminalreporter.stats):
        terminalreporter.write_line(f"hostile {line}")


@pytest.fixture(scope="session")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    AutoModel.from_config(tiny_config("bert")).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
