"""Where heads read first tokens alone, the last layer computes no others, and the answers stay the same."""

from threading import Thread

import pytest
import torch
from datasets import Dataset

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.encoder.unpadding import can_end_in_first_tokens, first_tokens_alone
from hf_mtl.heads import SequenceClassificationHead
from tests.encoders import FAMILIES, tiny_encoder

FIRST = [
    TaskConfig("topic", "sequence-classification", labels=["x", "y", "z"]),
    TaskConfig("value", "regression", pooling="first"),
    TaskConfig("mood", "sentiment", labels=["bad", "so so", "good"]),
    TaskConfig("stars", "sentiment", labels=["1", "2", "3"], options={"loss": "ordinal"}),
]
OTHERS = [
    TaskConfig("mean", "regression", pooling="mean"),
    TaskConfig("early", "regression", pooling="first", layers=1),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
]
IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 5, 3, 1, 1], [2, 8, 12, 3, 1]])
INPUTS = {"input_ids": IDS, "attention_mask": IDS.ne(1).long()}


def model_of(family, tasks=(*FIRST, *OTHERS), **kwargs):
    torch.manual_seed(1)
    return MultiTaskModel.from_encoder(tiny_encoder(family, pad_token_id=1), tasks, **kwargs)


def seen_by_last_layer(model):
    """Return a list that each pass adds to: the number of tokens behind the attention of the last layer."""
    seen = []
    model.encoder.encoder.layer[-1].output.register_forward_hook(lambda m, args, out: seen.append(out.shape[1]))
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_a_pass_for_all_tasks(family):
    model = model_of(family).eval()
    with torch.no_grad():
        every = model.flat_logits(**INPUTS)
        first = model.flat_logits(**INPUTS, tasks=[task.name for task in FIRST])
        again = model.flat_logits(**INPUTS)
    for name, logits in first.items():
        torch.testing.assert_close(logits, every[name], rtol=1e-5, atol=1e-6)
    for name, logits in again.items():
        assert torch.equal(logits, every[name]), name


@pytest.mark.parametrize("family", ["bert", "camembert", "data2vec-text", "electra", "ernie", "roberta", "xlm-roberta"])
def test_last_layer_computes_first_tokens_alone(family):
    model = model_of(family).eval()
    assert can_end_in_first_tokens(model.encoder)
    seen = seen_by_last_layer(model)
    with torch.no_grad():
        model.flat_logits(**INPUTS, tasks=[task.name for task in FIRST])
        for name in ("mean", "early", "tags"):
            model.flat_logits(**INPUTS, tasks=["topic", name])
    assert seen[0] == 3
    assert all(count >= 12 for count in seen[1:])
    assert len(seen) == 4


def learned(model, **kwargs):
    """Return the loss and the gradients of a pass over the tasks that read first tokens."""
    model.zero_grad()
    labels = {"topic": torch.tensor([0, 2]), "value": torch.tensor([0.5], dtype=torch.float64)}
    labels |= {"mood": torch.tensor([1, 0, 2]), "stars": torch.tensor([2])}
    rows = {"topic": torch.tensor([0, 2]), "value": torch.tensor([1]), "mood": torch.arange(3)}
    rows["stars"] = torch.tensor([2])
    output = model(**INPUTS, labels=labels, rows=rows, **kwargs)
    output.loss.backward()
    return output, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert"])
def test_loss_and_gradients_are_those_of_a_pass_that_returns_all_states(family, checkpointing):
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "dropout": 0.0}
    torch.manual_seed(1)
    encoder = tiny_encoder(family, pad_token_id=1, attention_dropout=0.0, seq_classif_dropout=0.0, **no_dropout)
    model = MultiTaskModel.from_encoder(encoder, FIRST).double().train()
    if checkpointing:
        model.activation_checkpointing_enable()
    every, expected = learned(model)
    first, gradients = learned(model, return_states=False)
    torch.testing.assert_close(first.loss, every.loss, rtol=1e-12, atol=1e-12)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-10, atol=1e-12)


def test_a_training_step_computes_first_tokens_alone(tmp_path, tokenizer):
    model = model_of("bert", FIRST[:2])
    rows = {"text": ["good film, and long", "bad", "so so"], "topic": ["x", "y", "z"], "value": [0.1, 0.2, 0.3]}
    args = MultiTaskTrainingArguments(tmp_path, max_steps=1, use_cpu=True, save_strategy="no", disable_tqdm=True)
    model.resize_token_embeddings(len(tokenizer))
    trainer = MultiTaskTrainer(model, args, {"all": Dataset.from_dict(rows)}, processing_class=tokenizer)
    seen = seen_by_last_layer(model)
    trainer.train()
    assert seen == [3]


def test_forward_returns_the_states_of_all_tokens():
    model = model_of("bert", FIRST).eval()
    with torch.no_grad():
        model.flat_logits(**INPUTS)
        assert model(**INPUTS).last_hidden_state.shape == (3, 5, 32)


def test_heads_with_a_forward_of_their_own_see_all_tokens():
    class Longest(SequenceClassificationHead):
        def forward(self, states):
            return states.padded()[0].amax(1)[:, :3]

    model = model_of("bert", [TaskConfig("topic", "longest", labels=["x", "y", "z"])], heads={"longest": Longest})
    seen = seen_by_last_layer(model.eval())
    with torch.no_grad():
        torch.testing.assert_close(model.flat_logits(**INPUTS)["topic"], model(**INPUTS).logits["topic"])
    assert min(seen) >= 12


def test_other_threads_are_not_concerned():
    model = model_of("bert").eval()
    found = []

    def run():
        with torch.no_grad():
            found.append(model.flat_logits(**INPUTS, tasks=["tags"])["tags"])

    with first_tokens_alone(model.encoder, torch.tensor([0])):
        thread = Thread(target=run)
        thread.start()
        thread.join()
    with torch.no_grad():
        assert torch.equal(found[0], model.flat_logits(**INPUTS, tasks=["tags"])["tags"])
