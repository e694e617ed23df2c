"""Labels that are distributions: read, checked, learned from and compared with."""

import itertools
import json
import math
import re

import pytest
import torch
from datasets import Dataset

from hf_mtl import TaskConfig, infer_tasks
from hf_mtl.data import LabelledDataset, check_rows
from hf_mtl.heads import HEADS, LabelError, balanced_class_weights, head_class
from hf_mtl_light.words import WordMap
from tests.trainers import model_without_dropout
from tests.unit.heads.test_tagging import words_of

LABELS = ["bad", "fair", "good"]
TOPIC = TaskConfig("topic", "sequence-classification", labels=LABELS)
MOOD = TaskConfig("mood", "sentiment", labels=LABELS)
SCALE = TaskConfig("scale", "sentiment", labels=LABELS, options={"loss": "ordinal"})
THEMES = TaskConfig("themes", "multi-label-classification", labels=LABELS)
SINGLE = [TOPIC, MOOD, SCALE]
HEADS_BY_NAME = {task.name: HEADS[task.type] for task in (*SINGLE, THEMES)}


def encoded(task, values, words=()):
    return head_class(task).encode_labels(task, values, words)


@pytest.mark.parametrize("task", SINGLE, ids=lambda task: task.name)
@pytest.mark.parametrize(
    ("value", "probabilities"),
    [
        ([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
        ([1, 0, 3], [0.25, 0.0, 0.75]),
        ({"good": 0.75, "bad": 0.25}, [0.25, 0.0, 0.75]),
        ({"good": 6, "fair": None}, [0.0, 0.0, 1.0]),
    ],
)
def test_a_distribution_is_normalised_in_the_order_of_the_labels(task, value, probabilities):
    found = encoded(task, [value, "fair"])
    torch.testing.assert_close(found, torch.tensor([probabilities, [0.0, 1.0, 0.0]]))
    assert head_class(task).reference(task, value) == max(range(3), key=probabilities.__getitem__)


@pytest.mark.parametrize("task", SINGLE, ids=lambda task: task.name)
def test_rows_without_distributions_stay_class_ids(task):
    assert encoded(task, ["good", "bad"]).tolist() == [2, 0]


def test_of_equal_probabilities_the_first_is_compared_with():
    assert head_class(TOPIC).reference(TOPIC, {"good": 1, "fair": 1}) == 1


@pytest.mark.parametrize(
    ("task", "value", "message"),
    [
        (TOPIC, [0.5, 0.5], "2 probabilities or votes, [0.5, 0.5], for the task's 3 labels"),
        (TOPIC, [0.5, -0.1, 0.6], "found -0.1 among probabilities or votes"),
        (TOPIC, [0.5, float("nan"), 0.5], "found nan among"),
        (TOPIC, [0.5, None, 0.5], "found None among"),
        (TOPIC, [0, 0, 0], "with the sum 0"),
        (TOPIC, [1e308, 1e308, 0.0], "with the sum inf"),
        (TOPIC, {"god": 1}, "of 'god', which is not one of the task's 3 labels: 'bad', 'fair', 'good'"),
        (TOPIC, {}, "with the sum 0"),
        (TOPIC, ["good", "good", "bad"], "For several annotators' votes count them"),
        (MOOD, {"good": "much"}, "found 'much' among"),
        (THEMES, {"good": 2}, "divide votes by the number of annotators"),
        (THEMES, [0.5, 0.25], "or the probability of each"),
    ],
)
def test_what_is_no_distribution_is_refused_with_a_remedy(task, value, message):
    with pytest.raises(LabelError) as error:
        encoded(task, [value])
    assert message in str(error.value)
    assert error.value.row == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 1.0]])
@pytest.mark.parametrize("kind", ["sequence-classification", "sentiment"])
def test_a_one_hot_distribution_has_the_loss_of_its_label(kind, weights, smoothing):
    task = TaskConfig("topic", kind, labels=LABELS, class_weights=weights, label_smoothing=smoothing)
    head = model_without_dropout([task]).task_heads["topic"]
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    names = ["good", "bad", "bad", "fair"]
    hard = encoded(task, names)
    soft = encoded(task, [{name: 7} for name in names])
    assert soft.shape == (4, 3)
    torch.testing.assert_close(head.loss_sum(logits, soft), head.loss_sum(logits, hard), rtol=1e-14, atol=0)
    # A mixture's loss is the mixture of the losses: annotators may be pooled or left apart.
    votes = encoded(task, [{name: 1, "good": 2 + (name == "good")} for name in names])
    mixed = head.loss_sum(logits, hard) / 3 + head.loss_sum(logits, torch.full_like(hard, 2)) * 2 / 3
    torch.testing.assert_close(head.loss_sum(logits, votes), mixed, rtol=1e-7, atol=0)
    both = head.divergence_sum(logits, -logits, soft)
    assert torch.equal(both, head.divergence_sum(logits, -logits, hard))


def test_several_labels_may_each_have_a_probability():
    found = encoded(THEMES, [[0.25, 0.0, 0.5], {"good": 1, "bad": 0.75}, ["fair"]])
    assert found.tolist() == [[0.25, 0.0, 0.5], [0.75, 0.0, 1.0], [0.0, 1.0, 0.0]]
    assert head_class(THEMES).reference(THEMES, [0.25, 0.0, 0.5]) == [0, 0, 1]


def test_weights_are_balanced_by_expected_counts():
    values = ["bad", [0.5, 0.5, 0.0], {"good": 1, "fair": 3}]
    for kind in ("sequence-classification", "sentiment"):
        task = TaskConfig("topic", kind, labels=LABELS, class_weights="balanced")
        assert head_class(task).learn(task, values).class_weights == tuple(balanced_class_weights([1.5, 1.25, 0.25]))
    task = TaskConfig("themes", "multi-label-classification", labels=LABELS, pos_weight="balanced")
    assert head_class(task).learn(task, [[0.5, 0.0, 1.0], ["bad"]]).pos_weight == pytest.approx([1 / 3, 1.0, 1.0])


#: How a dataset may hold distributions, with the labels that they are.
COLUMNS = {
    "lists": [[0.2, 0.3, 0.5], None, [0.0, 1.0, 0.0]],
    "votes": [[2, 3, 5], None, [0, 7, 0]],
    "structs": [{"good": 0.5, "bad": 0.2, "fair": 0.3}, None, {"good": None, "bad": None, "fair": 1.0}],
    "texts": ['{"good": 5, "bad": 2, "fair": 3}', "", "fair"],
    "lists in texts": ["[0.2, 0.3, 0.5]", None, "[0, 1, 0]"],
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_every_way_to_write_a_distribution_is_read_alike(column):
    part = LabelledDataset("votes", Dataset.from_dict({"text": list("abc"), "topic": column}), [TOPIC], HEADS_BY_NAME)
    labels = [row.labels.get("topic") for row in part.read([0, 1, 2])]
    assert labels[1] is None
    expected = torch.tensor([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(encoded(TOPIC, [labels[0], {"fair": 1} if labels[2] == "fair" else labels[2]]), expected)
    counts = check_rows(part)["topic"]
    # What is merely possible is no label that is missing.
    assert (counts.rows, counts.unlabelled, dict(counts.labels)) == (3, 1, {"good": 1, "fair": 1, "bad": 0})


def test_labels_that_are_digits_are_probabilities_in_a_list():
    task = TaskConfig("topic", "sequence-classification", labels=["0", "1"])
    part = LabelledDataset("digits", Dataset.from_dict({"text": ["a"], "topic": [[0.0, 1.0]]}), [task], HEADS_BY_NAME)
    assert encoded(task, [row.labels["topic"] for row in part.read([0])]).tolist() == [[0.0, 1.0]]


def test_a_row_of_probabilities_of_several_labels_is_counted_where_they_probably_hold():
    data = Dataset.from_dict({"text": ["a", "b"], "themes": [[0.25, 0.5, 0.75], [1.0, 0.0, 0.0]]})
    part = LabelledDataset("votes", data, [THEMES], HEADS_BY_NAME)
    assert dict(check_rows(part)["themes"].labels) == {"fair": 1, "good": 1, "bad": 1}


def test_a_mistake_names_dataset_row_and_task():
    data = Dataset.from_dict({"text": ["a", "b"], "topic": [[0.5, 0.5, 0.0], [0.5, 0.5, -1.0]]})
    part = LabelledDataset("votes", data, [TOPIC], HEADS_BY_NAME)
    with pytest.raises(ValueError, match=r"Dataset 'votes', row 1, task 'topic': found -1\.0 among"):
        check_rows(part)


TAGS = ["O", "B-x", "I-x"]
TAGGING = [
    TaskConfig("tags", "token-classification", labels=TAGS),
    TaskConfig("pieces", "token-classification", labels=TAGS, options={"label_all_tokens": True}),
    TaskConfig("chain", "crf-tagging", labels=TAGS),
]
#: Words of two texts: the second text's third word has no token, so that its chain is in two.
WORDS = [words_of([None, 0, 0, 1, 2, None]), words_of([None, 0, 1, 1, 3, None])]


def moved(head):
    """Give the head's parameters values: transitions begin at zero."""
    generator = torch.Generator().manual_seed(0)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return head


@pytest.mark.parametrize("task", TAGGING, ids=lambda task: task.name)
def test_certain_distributions_of_words_have_the_loss_of_their_tags(task):
    head = moved(model_without_dropout([task]).double().task_heads[task.name])
    logits = torch.randn(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    names = [["B-x", "I-x", "O"], ["O", "B-x", "O", None]]
    hard = encoded(task, names, WORDS).flatten()
    soft = encoded(task, [["B-x", {"I-x": 2}, [3, 0, 0]], names[1]], WORDS).flatten(0, 1)
    assert soft.is_floating_point()
    assert head.count_items(soft) == head.count_items(hard)
    torch.testing.assert_close(head.loss_sum(logits, soft), head.loss_sum(logits, hard), rtol=1e-14, atol=0)
    torch.testing.assert_close(
        head.divergence_sum(logits, -logits, soft), head.divergence_sum(logits, -logits, hard), rtol=1e-14, atol=0
    )
    assert (
        head_class(task).reference(task, [{"B-x": 2, "O": 1}, None, "O"][: 1 if task.name == "chain" else 3])[0]
        == "B-x"
    )


@torch.no_grad()
def test_the_loss_of_a_chain_is_the_mean_over_all_its_tags():
    head = moved(model_without_dropout([TAGGING[2]]).double().task_heads["chain"])
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    words = [words_of([0, 1, 2, 3])]
    rows = torch.rand(4, 3, generator=torch.Generator().manual_seed(1)).softmax(-1).tolist()
    mean = 0.0
    for ids in itertools.product(range(3), repeat=4):
        probability = math.prod(row[i] for row, i in zip(rows, ids, strict=True))
        certain = encoded(TAGGING[2], [[TAGS[i] for i in ids]], words).flatten()
        mean += probability * float(head.loss_sum(logits, certain))
    soft = encoded(TAGGING[2], [rows], words).flatten(0, 1)
    assert float(head.loss_sum(logits, soft)) == pytest.approx(mean, rel=1e-6)


def test_further_tokens_of_a_word_have_the_probabilities_of_the_inside():
    found = encoded(TAGGING[1], [[{"B-x": 0.5, "I-x": 0.25, "O": 0.25}]], [words_of([0, 0])])
    assert found.tolist() == [[[0.25, 0.5, 0.25], [0.25, 0.0, 0.75]]]


@pytest.mark.parametrize(
    ("task", "tags", "message"),
    [
        (TAGGING[0], [[0.5, 0.5]], "2 probabilities or votes, [0.5, 0.5], for the task's 3 labels"),
        (TAGGING[0], [["B-x", "O"]], "several tags for one token"),
        (TAGGING[2], [None, [1, 1, 2]], "word 0 has no label, where others have distributions"),
    ],
)
def test_what_is_no_distribution_of_words_is_refused(task, tags, message):
    data = Dataset.from_dict({"tokens": [["a"] * len(tags)], task.name: [json.dumps(tags)]})
    part = LabelledDataset("words", data, [task], {task.name: head_class(task)})
    with pytest.raises(
        ValueError, match=re.escape(f"Dataset 'words', row 0, task {task.name!r}: ") + ".*" + re.escape(message)
    ):
        check_rows(part)


@pytest.mark.parametrize(
    "column",
    [
        [[[0.0, 1.0, 0.0], [0.5, 0.25, 0.25]], None],
        [[{"O": 0, "B-x": 4, "I-x": None}, {"O": 2, "B-x": 1, "I-x": 1}], None],
        ['[{"B-x": 1}, [2, 1, 1]]', ""],
        ['["B-x", [2, 1, 1]]', None],
    ],
)
def test_words_with_distributions_are_read_alike(column):
    task = TAGGING[0]
    data = Dataset.from_dict({"tokens": [["a", "b"], ["c"]], "tags": column})
    part = LabelledDataset("words", data, [task], {"tags": head_class(task)})
    counts = check_rows(part)["tags"]
    assert (counts.unlabelled, dict(counts.labels)) == (1, {"B-x": 1, "O": 1, "I-x": 0})
    found = encoded(task, [part.read([0])[0].labels["tags"]], [words_of([0, 1])])
    assert found.tolist() == [[[0.0, 1.0, 0.0], [0.5, 0.25, 0.25]]]


def test_tags_of_structs_are_named_by_them_and_lists_are_not_guessed():
    rows = {"tokens": [["a"]] * 2}
    named = Dataset.from_dict({**rows, "tags": [[{"O": 1.0, "B-x": 0.0}]] * 2})
    given = TaskConfig("tags", "token-classification")
    assert infer_tasks({"d": named}, [given])[0].labels == ("O", "B-x")
    for votes in ([[1, 2]], [[0.5, 0.5]]):
        with pytest.raises(ValueError, match="Name what they stand for"):
            infer_tasks({"d": Dataset.from_dict({**rows, "tags": [votes] * 2})}, [given])


#: Hard and soft labels in one column, as texts; every task of one label in one dataset.
MIXED = Dataset.from_dict(
    {
        "tokens": [
            text.split()
            for text in (
                "good film",
                "bad book",
                "not very good",
                "play in paris",
                "anna is bad",
                "a song",
                "by bob",
                "x",
            )
        ],
        "tags": [
            '["O", {"B-x": 1, "I-x": 3}]',
            "O O",
            "O O O",
            None,
            "[[1, 0, 0], [1, 1, 2], null]",
            "B-x O",
            "O O",
            '["O"]',
        ],
        "chain": [
            '["O", {"B-x": 1, "I-x": 3}]',
            "O O",
            "O O O",
            '["O", null, "O"]',
            None,
            "B-x O",
            "[[1, 1, 2], [1, 0, 0]]",
            '["O"]',
        ],
        "topic": ["good", '{"bad": 2, "fair": 1}', "bad", None, "[0.1, 0.1, 0.8]", "fair", "[3, 0, 1]", "good"],
        "scale": ["[1, 2, 3]", "bad", "good", "fair", None, "[0.5, 0.5, 0.0]", "good", "bad"],
        "themes": ["[0.5, 0.0, 1.0]", '["bad"]', "[]", None, '{"good": 0.9}', '["good", "bad"]', "[0, 0, 1]", "[]"],
    }
)


def trained(build, batch_size, unpad="auto"):
    model = model_without_dropout([TOPIC, SCALE, THEMES, TAGGING[0], TAGGING[2]]).double()
    model.unpad = unpad
    settings = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": 8 // batch_size}
    trainer = build(model, {"mixed": MIXED}, {"mixed": MIXED}, learning_rate=1e-3, max_steps=2, **settings)
    trainer.train()
    return [parameter.detach() for parameter in model.parameters()], trainer


def test_training_on_hard_and_soft_labels_does_not_depend_on_batches_or_padding(build):
    whole, trainer = trained(build, 8)
    for batch_size, unpad in [(2, "auto"), (8, False)]:
        other, _ = trained(build, batch_size, unpad)
        for a, b in itertools.zip_longest(whole, other):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-9)
    assert 0 <= trainer.evaluate()["eval_topic_accuracy"] <= 1


KIND = "sequence-classification"


@pytest.mark.parametrize(
    ("column", "given", "expected"),
    [
        ([[0.25, 0.75], [0.5, 0.5]], {"labels": ["a", "b"]}, (None, ("a", "b"))),
        ([[1, 2], [0, 3]], {"labels": ["a", "b"]}, (None, ("a", "b"))),
        (["[0.25, 0.75]", "[1, 3]"], {"labels": ["a", "b"]}, (None, ("a", "b"))),
        (['{"b": 0.25, "a": 0.75}', "a"], {}, (None, ("a", "b"))),
        ([{"b": 0.25, "a": 0.75}] * 2, {}, (None, ("b", "a"))),
        ([[1.0, 0.0], [0.0, 1.0]], {"labels": ["a", "b"]}, ("multi_label_classification", ("a", "b"))),
        ([[0.5, 1.0], [0.25, 0.25]], {"labels": ["a", "b"]}, ("multi_label_classification", ("a", "b"))),
        ([["a"], ["a", "b"]], {}, ("multi_label_classification", ("a", "b"))),
    ],
)
def test_columns_show_whether_numbers_share_one_label(column, given, expected):
    data = Dataset.from_dict({"text": ["x", "y"], "topic": column})
    (task,) = infer_tasks({"d": data}, [TaskConfig("topic", KIND, **given)])
    assert (task.problem_type, task.labels) == expected


@pytest.mark.parametrize("column", [[[0.25, 0.75], [0.5, 0.5]], [[1, 2], [0, 3]], ["[0.25, 0.75]", "a"]])
def test_numbers_without_names_are_not_named_by_guess(column):
    data = Dataset.from_dict({"text": ["x", "y"], "topic": column})
    with pytest.raises(ValueError, match=r"Name what they stand for, in their order: labels: \[\.\.\.\]"):
        infer_tasks({"d": data}, [TaskConfig("topic", KIND)])


CHOICE = TaskConfig("pick", "multiple-choice")


def test_votes_for_choices_are_learned_in_expectation(tokenizer):
    head = model_without_dropout([CHOICE]).double().task_heads["pick"]
    words = [WordMap("", [], [], choices=["a", "b"]), WordMap("", [], [], choices=["a", "b", "c"])]
    soft = encoded(CHOICE, [[1, 3], "c"], words)
    assert soft.tolist() == [[0, 0.25], [0, 0.75], [1, 0], [1, 0], [1, 1]]
    assert head_class(CHOICE).reference(CHOICE, [0.25, 0.75]) == 1
    logits = torch.randn(5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    each = [float(head.loss_sum(logits, encoded(CHOICE, [i, "c"], words))) for i in range(2)]
    assert float(head.loss_sum(logits, soft)) == pytest.approx(0.25 * each[0] + 0.75 * each[1], abs=1e-12)
    assert head.count_items(soft) == 2


@pytest.mark.parametrize("value", [[1.0], [0, 0], [-1, 2], [0.5, None], [math.inf, 1], [True, False], ["a", "b"]])
def test_what_is_no_distribution_over_choices_is_refused(value):
    with pytest.raises(LabelError, match=r"for 2 choices\. Give the number of the right one, or a list"):
        encoded(CHOICE, [value], [WordMap("", [], [], choices=["a", "b"])])
