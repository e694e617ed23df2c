"""Laws that every task type obeys on every encoder family."""

import copy

import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from hf_mtl import MultiTaskConfig, MultiTaskModel, TaskConfig
from hf_mtl.configuration import default_metrics
from hf_mtl.heads import HEADS
from hf_mtl.heads.crf_tagging import FIRST
from tests.encoders import FAMILIES, tiny_config, tiny_encoder
from tests.own_heads import WordNumbersHead

#: A task of every type, and of every way a type can be set.
TASKS = [
    TaskConfig("topic", "sequence-classification", labels=["x", "y", "z"]),
    TaskConfig("topics", "sequence-classification", labels=["x", "y"], problem_type="multi_label_classification"),
    TaskConfig("mood", "sentiment", labels=["bad", "fair", "good"]),
    TaskConfig("stars", "sentiment", labels=["1", "2", "3", "4"], options={"loss": "ordinal"}, pooling="mean"),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
    TaskConfig("more_tags", "token-classification", labels=["O", "B-x", "I-x"], weight=0.5, tied_to="tags"),
    TaskConfig("chain", "crf-tagging", labels=["O", "B-x", "I-x"]),
    TaskConfig("value", "regression", pooling="first", target_mean=2.0, target_std=3.0),
    TaskConfig(
        "themes",
        "multi-label-classification",
        labels=["x", "y", "z"],
        pos_weight=[2.0, 0.5, 4.0],
        thresholds=[0.3, 0.5, 0.7],
    ),
    TaskConfig("feeling", "regression", labels=["valence", "arousal"], target_mean=[2.0, -1.0], target_std=[3.0, 0.5]),
    TaskConfig("filled", "masked-lm"),
    TaskConfig("answer", "question-answering", options={"no_answer": True}),
    TaskConfig("right", "multiple-choice"),
    TaskConfig("best", "multiple-choice", pooling="mean"),
]
#: The tasks whose logits are those of tokens.
OF_TOKENS = ("tags", "more_tags", "chain", "filled", "answer")
#: Families that were not pretrained with masked tokens.
WITHOUT_MASKS = ("gpt2", "llama", "qwen3", "t5")
LABELS = {
    "topic": torch.tensor([0, 2, 1]),
    "topics": torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]),
    "mood": torch.tensor([2, 0, 1]),
    "stars": torch.tensor([3, 0, 1]),
    "tags": torch.tensor([[-100, 0, 1, 2, -100], [-100, 1, -100, -100, -100], [-100, 0, 0, -100, -100]]),
    "more_tags": torch.tensor([[-100, 2, 1, 2, -100], [-100, 0, -100, -100, -100], [-100, -100, 1, -100, -100]]),
    "chain": torch.tensor(
        [[-100, FIRST, 1, -1, -100], [-100, FIRST + 1, -100, -100, -100], [-100, FIRST, 2, -100, -100]]
    ),
    "value": torch.tensor([1.0, 2.0, 9.0], dtype=torch.float64),
    "themes": torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]),
    "feeling": torch.tensor([[1.0, 2.0], [float("nan"), -1.0], [9.0, float("nan")]], dtype=torch.float64),
    "filled": torch.tensor([[-100, 7, -100, 11, -100], [-100, 5, -100, -100, -100], [-100, -100, 12, -100, -100]]),
    # 4 where a window begins, 1 and 2 where its answer begins and ends; the second has none.
    "answer": torch.tensor([[4, -100, 0, 3, -100], [7, 0, -100, -100, -100], [4, 1, 2, -100, -100]]),
    # Rows of the encoder are choices: of two questions, and of one.
    "right": torch.tensor([[0, 0], [0, 1], [1, 1]]),
    "best": torch.tensor([[0, 1], [0, 0], [0, 0]]),
}
INPUT_IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 5, 3, 0, 0], [2, 8, 12, 3, 0]])
MASK = INPUT_IDS.ne(0).long()


def tasks_of(family):
    return [task for task in TASKS if task.type != "masked-lm" or family not in WITHOUT_MASKS]


def labels_of(model):
    return {name: value for name, value in LABELS.items() if name in model.task_heads}


def test_every_task_type_is_covered():
    # Those of pictures are tried on encoders of pictures: test_image_encoders.py.
    of_texts = {name for name, head in HEADS.items() if head.modality() == "text"}
    missing = of_texts ^ {task.type for task in TASKS}
    assert not missing, f"TASKS in tests/contract/test_heads.py needs a task of each of these types: {sorted(missing)}"
    unlabelled = {task.name for task in TASKS} ^ set(LABELS)
    assert not unlabelled, f"LABELS in tests/contract/test_heads.py needs a row for each of {sorted(unlabelled)}"
    of_tokens = {task.name for task in TASKS if HEADS[task.type].level != "sequence"}
    assert of_tokens == set(OF_TOKENS), (
        f"OF_TOKENS in tests/contract/test_heads.py: {sorted(of_tokens ^ set(OF_TOKENS))}"
    )


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def model(family):
    torch.manual_seed(1)
    return MultiTaskModel.from_encoder(tiny_encoder(family), tasks_of(family))


def run(model, only=slice(None), **kwargs):
    with torch.no_grad():
        return model(input_ids=INPUT_IDS[only], attention_mask=MASK[only], **kwargs)


def test_reports_know_the_metrics_of_every_task_type():
    plain = [
        TaskConfig("plain", type, labels=["a", "b"] if head.takes_labels else None) for type, head in HEADS.items()
    ]
    for task in [*TASKS, *plain]:
        assert default_metrics(task) == HEADS[task.type].default_metrics(task)


def test_saved_and_loaded_model_answers_bit_for_bit(model, tmp_path):
    before = run(model).logits
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    assert list(loaded.task_heads) == [task.name for task in model.tasks]
    after = run(loaded).logits
    for name in before:
        assert torch.equal(before[name], after[name]), name


def test_padded_run_gives_the_same_losses_and_gradients(family):
    torch.manual_seed(1)
    tasks = [*tasks_of(family), TaskConfig("loudness", "word-numbers")]
    model = MultiTaskModel.from_encoder(tiny_encoder(family), tasks, heads={"word-numbers": WordNumbersHead})
    nan = float("nan")
    labels = labels_of(model) | {"loudness": torch.where(LABELS["tags"] < 0, nan, LABELS["tags"].double())}
    assert labels.keys() == model.task_heads.keys()
    found = {}
    for unpad in ("auto", False):
        model.unpad = unpad
        for name, values in labels.items():
            model.zero_grad()
            output = model(input_ids=INPUT_IDS, attention_mask=MASK, labels={name: values}, tasks=[name])
            output.loss.backward()
            gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
            found.setdefault(name, []).append((output.losses[name], gradients))
    for name, ((loss, gradients), (padded_loss, padded_gradients)) in found.items():
        assert torch.isfinite(loss), name
        torch.testing.assert_close(loss, padded_loss, rtol=1e-4, atol=1e-6)
        assert gradients.keys() == padded_gradients.keys()
        for parameter, gradient in gradients.items():
            difference = (gradient - padded_gradients[parameter]).norm()
            assert difference <= 1e-3 * gradient.norm() + 1e-6, (name, parameter)


@pytest.mark.parametrize("unpad", ["auto", False])
def test_labels_at_padding_train_nothing(unpad):
    torch.manual_seed(1)
    tasks = [TASKS[4], TaskConfig("loudness", "word-numbers")]
    model = MultiTaskModel.from_encoder(
        tiny_encoder("bert"), tasks, heads={"word-numbers": WordNumbersHead}, unpad=unpad
    )
    labels = {"tags": LABELS["tags"], "loudness": torch.where(LABELS["tags"] < 0, torch.nan, LABELS["tags"].double())}
    expected = run(model, labels=labels).losses
    found = run(model, labels={name: values.masked_fill(MASK == 0, 1) for name, values in labels.items()}).losses
    assert found == expected


def test_stock_single_task_model_with_the_same_weights_gives_the_same_logits_and_loss(family):
    classes = {
        "topic": AutoModelForSequenceClassification,
        "tags": AutoModelForTokenClassification,
        "filled": AutoModelForMaskedLM,
    }
    for task, auto in classes.items():
        if task not in [each.name for each in tasks_of(family)]:
            continue
        torch.manual_seed(1)
        encoder = tiny_encoder(family)
        weights = copy.deepcopy(encoder.state_dict())
        model = MultiTaskModel.from_encoder(encoder, tasks_of(family))
        head = model.task_heads[task].classifier
        if not head.is_stock:
            assert (family, task) == ("t5", "topic")  # its stock sequence class reads the decoder
            continue
        stock = auto.from_config(tiny_config(family, num_labels=3)).eval()
        inner = getattr(stock, stock.base_model_prefix)
        inner.load_state_dict({k: v for k, v in weights.items() if k in inner.state_dict()})
        unexpected = stock.load_state_dict(head.stock.state_dict(), strict=False).unexpected_keys
        assert not unexpected
        stock.tie_weights()
        if head.pooler is not None:
            inner.pooler.load_state_dict(head.pooler.state_dict())
        labels = LABELS[task]
        with torch.no_grad():
            expected = stock(input_ids=INPUT_IDS, attention_mask=MASK, labels=labels)
        # Of a text with labels the vocabulary's logits are those of its masked tokens alone.
        real = {"tags": MASK.bool(), "filled": labels.ne(-100) if task == "filled" else None}.get(task, slice(None))
        at = slice(None) if task == "filled" else real
        ours = run(model, labels={task: labels}, tasks=[task])
        torch.testing.assert_close(ours.logits[task][at], expected.logits[real], rtol=1e-5, atol=1e-6)
        model.unpad = False
        padded = run(model, labels={task: labels}, tasks=[task])
        torch.testing.assert_close(padded.logits[task][at], expected.logits[real], rtol=0, atol=1e-6)
        torch.testing.assert_close(ours.losses[task], expected.loss, rtol=1e-6, atol=1e-6)


def stock_with(family, auto, weights, head):
    """Return the stock model with an encoder's and a head's weights."""
    stock = auto.from_config(tiny_config(family, num_labels=2)).eval()
    inner = getattr(stock, stock.base_model_prefix)
    inner.load_state_dict({k: v for k, v in weights.items() if k in inner.state_dict()}, strict=False)
    assert not stock.load_state_dict(head.stock.state_dict(), strict=False).unexpected_keys
    if head.pooler is not None:
        inner.pooler.load_state_dict(head.pooler.state_dict())
    return stock


def test_stock_question_answering_gives_the_same_logits_and_loss(family):
    encoder = tiny_encoder(family)
    weights = copy.deepcopy(encoder.state_dict())
    model = MultiTaskModel.from_encoder(encoder, tasks_of(family))
    head = model.task_heads["answer"].classifier
    if not head.is_stock:
        assert family == "t5"  # its stock class reads the decoder
        return
    stock = stock_with(family, AutoModelForQuestionAnswering, weights, head)
    labels = LABELS["answer"]
    starts, ends = ((labels.clamp(min=0) & mark).bool().int().argmax(1) for mark in (1, 2))

    def only_the_context(module, inputs, logits):
        # The stock loss runs over all positions; the question, special tokens and padding are no answers.
        return logits.masked_fill((labels < 0)[:, :, None], -1e4)

    last = [module for module in stock.modules() if isinstance(module, torch.nn.Linear) and module.out_features == 2]
    with torch.no_grad():
        plain = stock(input_ids=INPUT_IDS, attention_mask=MASK)
        (layer,) = last
        layer.register_forward_hook(only_the_context)
        expected = stock(input_ids=INPUT_IDS, attention_mask=MASK, start_positions=starts, end_positions=ends)
    real = MASK.bool()
    stacked = torch.stack([plain.start_logits, plain.end_logits], -1)[real]
    for unpad, bound in (("auto", 1e-5), (False, 1e-6)):
        model.unpad = unpad
        ours = run(model, labels={"answer": labels}, tasks=["answer"])
        torch.testing.assert_close(ours.logits["answer"][real], stacked, rtol=bound, atol=1e-6)
        torch.testing.assert_close(ours.losses["answer"], expected.loss, rtol=1e-5, atol=1e-6)


def test_stock_multiple_choice_gives_the_same_logits_and_loss(family):
    encoder = tiny_encoder(family)
    weights = copy.deepcopy(encoder.state_dict())
    model = MultiTaskModel.from_encoder(encoder, tasks_of(family))
    head = model.task_heads["right"].classifier
    if not head.is_stock:
        assert family in ("t5", "gpt2", "llama", "qwen3", "deberta")  # which have no such stock class
        return
    stock = stock_with(family, AutoModelForMultipleChoice, weights, head)
    labels = torch.tensor([[0, 0], [0, 1], [0, 0]])
    with torch.no_grad():
        expected = stock(input_ids=INPUT_IDS[None], attention_mask=MASK[None], labels=torch.tensor([1]))
    for unpad, bound in (("auto", 1e-5), (False, 1e-6)):
        model.unpad = unpad
        ours = run(model, labels={"right": labels}, tasks=["right"])
        torch.testing.assert_close(ours.logits["right"][:, 0], expected.logits[0], rtol=bound, atol=1e-6)
        torch.testing.assert_close(ours.losses["right"], expected.loss, rtol=1e-5, atol=1e-6)


def test_single_rows_answer_as_in_a_batch(model):
    together = run(model).logits
    for row in range(3):
        alone = run(model, only=slice(row, row + 1)).logits
        for name, logits in alone.items():
            length = int(MASK[row].sum())
            if name in OF_TOKENS:
                torch.testing.assert_close(logits[0, :length], together[name][row, :length], rtol=1e-4, atol=1e-5)
            else:
                torch.testing.assert_close(logits[0], together[name][row], rtol=1e-4, atol=1e-5)


def test_every_trainable_parameter_gets_a_gradient(model):
    model.train()
    model(input_ids=INPUT_IDS, attention_mask=MASK, labels=labels_of(model)).loss.backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    # Electra and others build a projection that an encoder of equal sizes does not use.
    assert not [name for name in missing if not name.startswith("encoder.")]


def test_task_without_rows_gets_no_gradient(model):
    labels = {name: value for name, value in labels_of(model).items() if name != "mood"}
    rows = dict.fromkeys(labels, torch.tensor([0, 1, 2]))
    output = model(input_ids=INPUT_IDS, attention_mask=MASK, labels=labels, rows=rows)
    assert "mood" not in output.logits
    output.loss.backward()
    assert all(p.grad is None for p in model.task_heads["mood"].parameters())


def test_head_sees_only_its_rows(model):
    everything = run(model).logits
    rows = {"topic": torch.tensor([2, 0]), "tags": torch.tensor([1])}
    some = run(model, rows=rows).logits
    torch.testing.assert_close(some["topic"], everything["topic"][[2, 0]], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(some["tags"], everything["tags"][[1]], rtol=1e-4, atol=1e-6)
    assert set(some) == {"topic", "tags"}


def test_renamed_and_reordered_tasks_give_the_same_losses(family):
    def losses(tasks, names):
        torch.manual_seed(3)
        model = MultiTaskModel.from_encoder(tiny_encoder(family), tasks)
        torch.manual_seed(4)
        state = {n: torch.randn_like(p) * 0.1 for n, p in reference.state_dict().items()}
        model.load_state_dict(
            {n: state[n if not n.startswith("heads.") else rename(n, names)] for n in model.state_dict()}
        )
        output = run(model, labels={names.get(name, name): value for name, value in labels_of(reference).items()})
        back = {new: old for old, new in names.items()}
        return output.loss, {back.get(name, name): loss for name, loss in output.losses.items()}

    def rename(parameter, names):
        _, task, rest = parameter.split(".", 2)
        back = {new: old for old, new in names.items()}
        return f"heads.{back.get(task, task)}.{rest}"

    tasks = tasks_of(family)
    reference = MultiTaskModel.from_encoder(tiny_encoder(family), tasks)
    one, one_by_task = losses(tasks, {})
    names = {task.name: f"renamed_{task.name}" for task in tasks}
    renamed = [
        TaskConfig(**{**task.__dict__, "name": names[task.name], "tied_to": names.get(task.tied_to)})
        for task in reversed(tasks)
    ]
    two, two_by_task = losses(renamed, names)
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)
    assert {n: pytest.approx(float(v), rel=1e-6) for n, v in one_by_task.items()} == {
        n: float(v) for n, v in two_by_task.items()
    }


def test_config_alone_rebuilds_the_model(model):
    again = MultiTaskModel(MultiTaskConfig.from_dict(model.config.to_dict()))
    assert {n: p.shape for n, p in again.named_parameters()} == {n: p.shape for n, p in model.named_parameters()}


def test_new_heads_are_initialised_as_the_family_initialises_its_own(family):
    model = MultiTaskModel.from_encoder(tiny_encoder(family), [TASKS[0]])
    if not model.task_heads["topic"].classifier.is_stock:
        layer = model.task_heads["topic"].classifier.stock.classifier
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.3)
        assert not layer.bias.any()
        return
    stock = AutoModelForSequenceClassification.from_config(tiny_config(family, num_labels=3))
    for name, parameter in model.task_heads["topic"].classifier.stock.named_parameters():
        parameter, expected = parameter.detach(), dict(stock.named_parameters())[name].detach()
        if expected.std() == 0:
            assert torch.equal(parameter, expected), name
        elif parameter.numel() > 500:
            # Standard deviations of two samples of this size agree within a few percent.
            assert parameter.std() == pytest.approx(float(expected.std()), rel=0.15), name


@pytest.mark.parametrize("family", WITHOUT_MASKS)
def test_families_without_masks_refuse_to_fill_them(family):
    with pytest.raises(ValueError, match=f"Task 'filled': encoders of the family '{family}' have no mask token"):
        MultiTaskModel.from_encoder(tiny_encoder(family), TASKS)
