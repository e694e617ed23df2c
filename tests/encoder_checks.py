"""What must hold for every encoder family: the columns of `python -m tests.matrix`, and the tests behind them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig, predict
from hf_mtl.configuration import INPUT_COLUMNS
from hf_mtl.encoder import has_encoder_alone, is_decoder_only, learned_positions, longest_text
from hf_mtl.heads._pooling import POOLINGS
from hf_mtl.heads._vocabulary import fills_masks
from tests.conftest import make_tokenizer
from tests.encoders import tiny_config, tiny_encoder

__all__ = ["CHECKS", "TASK_OF_TYPE", "tokenizer_of"]

LABELS = ["x", "y", "z"]
IDS = torch.tensor([[2, 7, 9, 11, 8, 3], [2, 5, 3, 0, 0, 0], [2, 8, 12, 6, 3, 0]])
MASK = IDS.ne(0).long()
ROWS = {
    "tokens": [["good", "film", "!"], ["a", "bad", "book"], ["paris"], ["anna", "was", "in", "rome"]],
    "topic": ["x", "y", "z", "x"],
    "tags": [["O", "O", "O"], ["O", "O", "B-x"], ["B-x"], ["B-x", "O", "O", "B-x"]],
    "value": [1.0, 2.0, 4.0, 3.0],
}
TASKS = [
    TaskConfig("topic", "sequence-classification", labels=LABELS),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
    TaskConfig("value", "regression", pooling="attention", layers="mix"),
]
#: A task of every type, and datasets that label them all.
TASK_OF_TYPE = {
    task.type: task
    for task in (
        TaskConfig("topic", "sequence-classification", labels=LABELS),
        TaskConfig("topics", "multi-label-classification", labels=LABELS),
        TaskConfig("mood", "sentiment", labels=["bad", "good"]),
        TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
        TaskConfig("chain", "crf-tagging", labels=["O", "B-x", "I-x"]),
        TaskConfig("value", "regression"),
        TaskConfig("filled", "masked-lm"),
        TaskConfig("answer", "question-answering"),
        TaskConfig("right", "multiple-choice"),
    )
}
ROWS_OF_TYPES = {
    "words": {
        **ROWS,
        "chain": ROWS["tags"],
        "topics": [["x"], [], ["y", "z"], ["x", "y"]],
        "mood": ["good", "bad", "bad", "good"],
    },
    "texts": {"filled": ["a good film about anna", "the book was bad", "rome or paris", "bob plays a song"]},
    "questions": {
        "text": ["who sings?", "where?"],
        "text_pair": ["bob sings in rome", "the film was good"],
        "answer": [{"text": ["bob"], "answer_start": [0]}, {"text": [], "answer_start": []}],
    },
    "choices": {
        "text": ["bob plays", "a film is"],
        "choices": [["a song", "rome", "a book"], ["good", "anna"]],
        "right": [0, 0],
    },
}


def tokenizer_of(family: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer like those of a family: decoder-only ones add no token and cannot pad, T5's ends its texts."""
    config = tiny_config(family)
    if not (is_decoder_only(config) or has_encoder_alone(config)):
        return make_tokenizer()
    words = make_tokenizer().get_vocab()
    backend = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = {"unk_token": "[UNK]", "eos_token": "[SEP]"}
    if has_encoder_alone(config):
        names["pad_token"] = "[PAD]"
        backend.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_input_names=["input_ids", "attention_mask"], padding_side="left", **names
    )


def model_of(family: str, tasks: list[TaskConfig], **kwargs: object) -> MultiTaskModel:
    torch.manual_seed(1)
    return MultiTaskModel.from_encoder(tiny_encoder(family), tasks, **kwargs)


def logits(model: MultiTaskModel, rows: slice = slice(None)) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return model(input_ids=IDS[rows], attention_mask=MASK[rows]).logits


def trains(family: str) -> str:
    """Two steps of the trainer move every kind of parameter, and the model answers in plain values."""
    model, tokenizer = model_of(family, TASKS), tokenizer_of(family)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with tempfile.TemporaryDirectory() as folder:
        arguments = MultiTaskTrainingArguments(
            folder, max_steps=2, per_device_train_batch_size=4, use_cpu=True, disable_tqdm=True, precision="float32",
            save_strategy="no", learning_rate=1e-3,
        )  # fmt: skip
        trainer = MultiTaskTrainer(model, arguments, {"rows": Dataset.from_dict(ROWS)}, processing_class=tokenizer)
        loss = trainer.train().training_loss
    assert 0 < loss < 100, loss
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {"heads.value.mix.scores", "heads.value.mix.gamma", "heads.value.pooling.query"} <= moved
    assert any(name.startswith("encoder.") for name in moved)
    answers = list(predict(model, tokenizer, ["A good film!", "", "paris " * 100]))
    assert [answer["topic"]["label"] in LABELS for answer in answers] == [True] * 3
    return "yes"


def does_every_type(family: str) -> str:
    """A task of every type learns beside the others, is scored, and answers the same once saved and loaded."""
    tasks = [task for task in TASK_OF_TYPE.values() if task.type != "masked-lm" or fills_masks(tiny_config(family))]
    model, tokenizer = model_of(family, tasks), tokenizer_of(family)
    names = {task.name for task in tasks}
    data = {
        name: Dataset.from_dict({key: values for key, values in rows.items() if key in {*INPUT_COLUMNS, *names}})
        for name, rows in ROWS_OF_TYPES.items()
        if not names.isdisjoint(rows)
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments = MultiTaskTrainingArguments(
            folder, max_steps=3, per_device_train_batch_size=16, use_cpu=True, disable_tqdm=True, precision="float32",
            save_strategy="no", learning_rate=1e-3, batching="mixed", logging_steps=1,
        )  # fmt: skip
        trainer = MultiTaskTrainer(model, arguments, data, processing_class=tokenizer)
        trainer.train()
        trained = {key[5:] for log in trainer.state.log_history for key in log if key.startswith("loss/")}
        assert trained == names, names - trained
        scores = trainer.evaluate(data)
        assert all(math.isfinite(scores[f"eval_{name}_loss"]) for name in names)
        model.save_pretrained(folder)
        loaded = MultiTaskModel.from_pretrained(folder)
    row = {"text": "Was it good?", "text_pair": "Anna said: a good film.", "choices": ["yes", "no"]}
    before, after = (list(predict(each, tokenizer, [row, "a bad book"])) for each in (model, loaded))
    assert before == after
    assert before[0].keys() == names
    return f"{len(names)} of {len(TASK_OF_TYPE)}"


def saves(family: str) -> str:
    """A saved and loaded model answers bit for bit."""
    model = model_of(family, TASKS)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        loaded = MultiTaskModel.from_pretrained(folder)
        assert sorted(path.name for path in Path(folder).iterdir()) == ["config.json", "model.safetensors"]
    before, after = logits(model), logits(loaded)
    assert all(torch.equal(before[name], after[name]) for name in before)
    return "yes"


def runs_unpadded(family: str) -> str:
    """Without padding the answers are those of the padded run; each row's are those it has alone."""
    model = model_of(family, TASKS)
    flat, found = model._runs_flat({}), logits(model)
    model.unpad = False
    padded = logits(model)
    for name in found:
        torch.testing.assert_close(found[name], padded[name], rtol=1e-4, atol=1e-5)
    for row, length in enumerate(MASK.sum(1).tolist()):
        with torch.no_grad():
            alone = model(input_ids=IDS[row : row + 1, :length]).logits
        torch.testing.assert_close(alone["topic"][0], found["topic"][row], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(alone["value"][0], found["value"][row], rtol=1e-4, atol=1e-5)
    return "yes" if flat else "padded"


def pools(family: str) -> str:
    """Every pooling gives the vector that a loop over the texts gives, unpadded and padded."""
    tasks = [TaskConfig(name, "sequence-classification", labels=LABELS, pooling=name) for name in POOLINGS]
    model = model_of(family, tasks)
    torch.manual_seed(2)
    query = torch.randn(32)
    model.task_heads["attention"].pooling.query.data = query
    by_hand = {
        "first": lambda text: text[0],
        "last": lambda text: text[-1],
        "mean": lambda text: text.mean(0),
        "max": lambda text: text.max(0).values,
        "attention": lambda text: (text @ query / 32**0.5).softmax(0) @ text,
    }
    assert by_hand.keys() == POOLINGS.keys()
    for unpad in ("auto", False):
        model.unpad = unpad
        with torch.no_grad():
            output = model(input_ids=IDS, attention_mask=MASK)
            for name, pool in by_hand.items():
                texts = zip(output.last_hidden_state, MASK.sum(1).tolist(), strict=True)
                pooled = torch.stack([pool(states[:length]) for states, length in texts])
                expected = model.task_heads[name].classifier(pooled[:, None], torch.ones(3, 1, dtype=torch.long))
                torch.testing.assert_close(output.logits[name], expected, rtol=1e-4, atol=1e-5)
    return "yes"


def reads_layers(family: str) -> str:
    """Each layer and the mix of all are those that the encoder itself returns, unpadded and padded."""
    plain = {"type": "regression", "pooling": "mean"}
    tasks = [TaskConfig(f"layer{k}", layers=k, **plain) for k in (0, 1, 2)]
    tasks += [TaskConfig("mix", layers="mix", **plain), TaskConfig("last", **plain)]
    model = model_of(family, tasks)
    weights = torch.tensor([0.5, -1.0, 2.0])
    model.task_heads["mix"].mix.scores.data, model.task_heads["mix"].mix.gamma.data = weights, torch.tensor([1.5])
    shares = weights.softmax(0)
    assert model.task_heads["mix"].layer_weights() == shares.tolist()
    for unpad in ("auto", False):
        model.unpad = unpad
        with torch.no_grad():
            output = model(input_ids=IDS, attention_mask=MASK, output_hidden_states=True)
            assert model(input_ids=IDS, attention_mask=MASK).hidden_states is None
            hidden = output.hidden_states
            assert len(hidden) == 3
            wanted = {f"layer{k}": hidden[k] for k in (0, 1)} | {"last": hidden[2], "layer2": hidden[2]}
            wanted["mix"] = 1.5 * sum(share * states for share, states in zip(shares, hidden, strict=True))
            for name, states in wanted.items():
                pooled = (states * MASK[..., None]).sum(1) / MASK.sum(1, keepdim=True)
                expected = model.task_heads[name].classifier(pooled[:, None], torch.ones(3, 1, dtype=torch.long))
                torch.testing.assert_close(output.logits[name], expected, rtol=1e-4, atol=1e-5)
    return "yes"


def keeps_its_limit(family: str) -> str:
    """The longest text that the collator lets through fits; one token more is refused with a reason."""
    encoder = tiny_encoder(family)
    longest, learned = longest_text(encoder.config), learned_positions(encoder)
    model = MultiTaskModel.from_encoder(encoder, TASKS[:1])
    with torch.no_grad():
        for unpad in ("auto", False):
            model.unpad = unpad
            model(input_ids=torch.full((2, longest or 300), 7))
            if learned is None:
                continue
            assert learned == longest
            with pytest.raises(ValueError, match=f"positions for {longest}"):
                model(input_ids=torch.full((2, longest + 1), 7))
    return "none" if longest is None else f"{longest}" if learned else f"{longest} (stated)"


#: Column -> the check behind it: what it says of a family, or an error.
CHECKS: dict[str, Callable[[str], str]] = {
    "train": trains,
    "task types": does_every_type,
    "save/load": saves,
    "unpadded = padded": runs_unpadded,
    "pooling": pools,
    "layers": reads_layers,
    "positions": keeps_its_limit,
}
