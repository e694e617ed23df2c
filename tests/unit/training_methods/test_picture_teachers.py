"""Teachers of pictures: multi-task and stock models, beside the student and in a file."""

import shutil

import pytest
import torch
from transformers import AutoModelForImageClassification

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.data import StoredPredictions
from hf_mtl.distillation import store_predictions
from hf_mtl.training_methods import match_teachers
from tests.encoders import tiny_encoder
from tests.image_encoders import colours, image_processor, tiny_image_config, tiny_image_encoder

COLOUR = TaskConfig("colour", "image-classification", labels=["red", "green", "blue"])
WORD = TaskConfig("word", "sequence-classification", labels=["red", "green", "blue"])
MOOD = TaskConfig("mood", "sentiment", labels=["bad", "good"])


@pytest.fixture(scope="module")
def teachers(tmp_path_factory, tokenizer):
    """Return a model of texts and pictures, and a stock model of the same labels in another order."""
    folder = tmp_path_factory.mktemp("teachers")
    torch.manual_seed(5)
    encoders = {"text": tiny_encoder(seed=1), "image": tiny_image_encoder(seed=1)}
    MultiTaskModel.from_encoder(encoders, [MOOD, COLOUR]).save_pretrained(folder / "both")
    tokenizer.save_pretrained(folder / "both")
    image_processor().save_pretrained(folder / "both")
    names = {0: "blue", 1: "red", 2: "green"}
    config = tiny_image_config("dinov2", id2label=names, label2id={name: i for i, name in names.items()})
    AutoModelForImageClassification.from_config(config).save_pretrained(folder / "stock")
    image_processor().save_pretrained(folder / "stock")
    return folder


def gradients(folder, teachers, tokenizer=None, size=8, **kwargs):
    torch.manual_seed(3)
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = MultiTaskModel.from_encoder(tiny_image_encoder(**quiet), [COLOUR]).double()
    data = {"photos": colours(16)}
    args = MultiTaskTrainingArguments(
        folder,
        max_steps=1,
        learning_rate=1.0,
        optim="sgd",
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
        per_device_train_batch_size=size,
        gradient_accumulation_steps=16 // size,
        use_cpu=True,
        disable_tqdm=True,
        save_strategy="no",
        report_to="none",
        methods={"distillation": {"teachers": str(teachers), "annealing": "constant", **kwargs}},
    )
    trainer = MultiTaskTrainer(model, args, data, None, tokenizer, image_processor=image_processor())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer.train()
    return {name: before[name] - p.detach() for name, p in model.named_parameters()}


def distance(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("name", ["both", "stock"])
def test_stored_answers_of_pictures_teach_as_their_model_does_beside(name, teachers, tmp_path):
    beside = gradients(tmp_path, teachers / name)
    answers = tmp_path / "answers.parquet"
    found = store_predictions(str(teachers / name), {"photos": colours(16)}, [COLOUR], answers, progress=False)
    assert StoredPredictions(answers).rows("photos", "colour") == 16
    assert found["colour"].order == ((0, 1, 2) if name == "both" else (1, 2, 0))
    assert distance(gradients(tmp_path, answers), beside) < 1e-6  # answers are stored in single precision
    assert distance(gradients(tmp_path, teachers / name, size=4), beside) < 1e-9
    assert distance(gradients(tmp_path, teachers / name, alpha=0.0), beside) > 1e-3


def test_a_teacher_reads_what_its_task_reads(teachers):
    found = match_teachers([str(teachers / "both")], [COLOUR, WORD, MOOD])
    assert {name: lesson.task for name, lesson in found.items()} == {"colour": "colour", "mood": "mood"}
    with pytest.raises(ValueError, match=r"fits no task: .*What is read and the names of labels must be the same"):
        match_teachers([str(teachers / "stock")], [COLOUR, WORD], ["word"])


def test_other_pixels_are_refused_beside(teachers, tmp_path):
    shutil.copytree(teachers / "stock", tmp_path / "other")
    image_processor(32).save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match=r"image processor with another size than the student's.*hf-mtl distill"):
        gradients(tmp_path / "run", tmp_path / "other")
