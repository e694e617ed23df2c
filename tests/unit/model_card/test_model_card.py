"""The model card: what it tells, and what it leaves to its editors."""

import ast
import re
from dataclasses import dataclass

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.metrics import METRICS, bootstrap_interval, load_metric
from hf_mtl.model_card import CardFacts, DatasetFacts, ResultFacts, render_card
from hf_mtl.samplers import UniformSampler
from tests.encoders import tiny_encoder
from tests.hub_server import check_metadata
from tests.image_encoders import tiny_image_encoder

TASKS = [
    TaskConfig("intent", "sequence-classification", labels=["a|b", "c"]),
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("slots", "token-classification", labels=["O", "B-x", "I-x"]),
]
FACTS = CardFacts(
    "assistant",
    TASKS,
    "bert",
    1000,
    {"intent": 10, "mood": 20, "slots": 30},
    encoder="google-bert/bert-base-uncased",
    license="apache-2.0",
    encoder_license="mit",
    language=["en"],
    datasets=[DatasetFacts("my data", 90, 0.9, ["intent", "mood"]), DatasetFacts("w", 10, 0.1, ["slots"], "org/w")],
    sampler="proportional",
    stock_tasks=["intent", "mood", "slots"],
    results=[
        ResultFacts("intent", "my data", "test", "accuracy", 0.9, 50, 0.8, 0.95),
        ResultFacts("mood", "my data", "test", "accuracy", 0.7, 50, 0.6, 0.8),
        ResultFacts("slots", "w", "test", "f1", 0.5, 20, hub_id="org/w"),
    ],
    examples=[("a --> <!-- hf_mtl:end answers --> b", {"intent": {"label": "c", "score": 0.12345}})],
)


@pytest.mark.parametrize("beside", [False, True])
def test_a_card_of_pictures_shows_how_to_ask_about_one(beside):
    digit = TaskConfig("digit", "image-classification", labels=["one", "two"])
    alone = tiny_image_encoder()
    encoders = {"text": tiny_encoder(), "image": alone} if beside else alone
    model = MultiTaskModel.from_encoder(encoders, [*TASKS[:1], digit] if beside else [digit])
    card = render_card(CardFacts.of_model(model, "signs"))
    about = "a text or a picture" if beside else "a picture"
    assert f"about {about}." in card
    assert f"{about} that fits none" in card
    assert '"image": "photo.jpg"}' in card
    assert "pip install 'hf-mtl[vision]'" in card
    assert ("AutoImageProcessor" in card, "AutoTokenizer" in card) == (not beside, beside)
    assert ("Of a text" in card) == ("languages" in card) == beside
    for snippet in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        ast.parse(snippet)


def test_the_card_shows_the_export_of_a_task_that_has_a_stock_form():
    chain = TaskConfig("chain", "crf-tagging", labels=["O", "B-x", "I-x"])
    ordinal = TaskConfig("stars", "sentiment", labels=["1", "2"], options={"loss": "ordinal"})
    late = TaskConfig("late", "sequence-classification", labels=["x", "y"], layers=1)
    mood = TaskConfig("mood", "sentiment", labels=["bad", "good"])
    for tasks, shown in (([chain, ordinal, late, mood], "mood"), ([chain, ordinal, late], None)):
        model = MultiTaskModel.from_encoder(tiny_encoder(), tasks)
        for name in model.task_heads:
            if name != "mood":
                with pytest.raises(ValueError, match=name):
                    model.to_transformers(name)
        card = render_card(CardFacts.of_model(model, "assistant"))
        assert re.findall(r"to_transformers\((.*)\)", card) == ([f'"{shown}"'] if shown else [])


def metadata(card):
    return yaml.safe_load(card.split("---")[1])


def test_metadata_passes_the_hubs_validation_and_the_clients():
    card = render_card(FACTS)
    assert check_metadata(card) == ([], [])
    results = ModelCard(card).data.eval_results
    assert len(results) == 3
    values = metadata(card)
    assert values["library_name"] == "hf-mtl"
    assert values["base_model"] == "google-bert/bert-base-uncased"
    assert values["datasets"] == ["org/w"]


def test_model_index_has_one_entry_for_each_task_and_dataset():
    entries = metadata(render_card(FACTS))["model-index"][0]["results"]
    found = {(entry["task"]["name"], entry["dataset"]["name"], entry["dataset"]["split"]) for entry in entries}
    assert found == {("intent", "my data", "test"), ("mood", "my data", "test"), ("slots", "w", "test")}
    assert entries[0]["metrics"][0]["args"]["confidence_interval"] == [0.8, 0.95]


def test_card_tells_answers_results_training_and_size():
    card = render_card(FACTS)
    for words in (
        "| `intent` | my data | test | 50 | accuracy | 0.900 | 0.800 to 0.950 |",
        "| `slots` | w | test | 20 | f1 | 0.500 | - |",
        "| [w](https://hf.co/datasets/org/w) | 10 | 10.0% | `slots` |",
        "one of <code>a&#124;b</code>, `c`",
        "| **this model** | **1,060** |",
        "| 3 models, one a task | 3,060 |",
        '"score": 0.123',
        "its licence: mit",
        "transformers 5",
    ):
        assert words in card, words


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (TaskConfig("a", "sentiment", labels=["bad", "good"]), "one of, from most negative: `bad`, `good`"),
        (TaskConfig("a", "crf-tagging", labels=["O", "B-x"]), "tags `O`, `B-x`"),
        (TaskConfig("a", "multi-label-classification", labels=["x", "y"]), "any of `x`, `y`"),
        (TaskConfig("a", "regression", labels=["x", "y"]), "the numbers `x`, `y`"),
        (TaskConfig("a", "regression"), "a number"),
        (TaskConfig("a", "masked-lm"), "tokens for masks"),
        (TaskConfig("a", "a-users-own", labels=["x", "y"]), "one of `x`, `y`"),
    ],
)
def test_card_tells_what_each_type_answers(task, told):
    card = render_card(CardFacts("m", [task], "bert", 10, {"a": 1}))
    assert f"| {told} |" in card


def test_same_facts_give_the_same_card_over_and_over():
    card = render_card(FACTS)
    assert render_card(FACTS, card) == card


def test_edits_outside_of_sections_survive_the_next_save():
    card = render_card(FACTS)
    edited = card.replace("# assistant", "# My assistant\n\nMade with care.").replace("## Limits", "## Known limits")
    edited = re.sub(
        r"<!-- hf_mtl:begin size -->.*<!-- hf_mtl:end size -->", "None of your business.", edited, flags=re.S
    )
    edited = edited.replace("license: apache-2.0", "license: mit\nmine: [1, 2]").replace("- multi-task", "- special")
    again = render_card(CardFacts("assistant", TASKS[:1], "bert", 7, {"intent": 1}, license="apache-2.0"), edited)
    for words in ("# My assistant", "Made with care.", "## Known limits", "None of your business."):
        assert words in again
    assert "answers 1 question " in again
    assert "not evaluated" in again
    assert "0.900" not in again
    values = metadata(again)
    assert values["license"] == "mit"
    assert values["mine"] == [1, 2]
    assert "special" in values["tags"]
    assert "multi-task" not in values["tags"]
    assert "model-index" not in values


def test_snippets_parse_and_name_the_model():
    card = render_card(FACTS, model_id="anna/assistant")
    snippets = re.findall(r"```python\n(.*?)```", card, re.S)
    assert len(snippets) == 3
    for snippet in snippets:
        compile(snippet, "card", "exec")
    assert 'pipeline("multi-task", model="anna/assistant")' in snippets[0]
    assert 'MultiTaskModel.from_pretrained("anna/assistant")' in snippets[1]
    assert 'model.to_transformers("intent")' in snippets[2]


def test_card_with_broken_metadata_is_left_alone(tmp_path):
    from hf_mtl.model_card import write_card

    path = tmp_path / "README.md"
    path.write_text("---\nlicense: [\n---\n# mine\n")
    write_card(path, FACTS)
    assert path.read_text() == "---\nlicense: [\n---\n# mine\n"


# Intervals

TAGS = st.lists(st.sampled_from(["O", "B-x", "I-x", "B-y"]), min_size=1, max_size=6)


@given(st.lists(TAGS.flatmap(lambda t: st.tuples(st.just(t), st.permutations(t))), min_size=2, max_size=8))
def test_sums_over_rows_give_the_metrics_own_value_for_tags(rows):
    references, predictions = (list(side) for side in zip(*rows, strict=True))
    for name, key in (("seqeval", "f1"), ("tag_accuracy", "accuracy")):
        agrees(name, key, predictions, references, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_sums_over_rows_give_the_metrics_own_value_for_classes(rows):
    predictions, references = (list(side) for side in zip(*rows, strict=True))
    for key in ("f1_macro", "f1_micro", "f1_weighted"):
        agrees("f1", key, predictions, references, 4)
    agrees("accuracy", "accuracy", predictions, references, 4)
    agrees("matthews_correlation", "matthews_correlation", predictions, references, 4)
    agrees("mean_absolute_error", "mean_absolute_error", predictions, references, 0)
    if len(set(predictions)) > 1 and len(set(references)) > 1:
        agrees("pearson", "pearson", predictions, references, 0)


def agrees(name, key, predictions, references, classes):
    expected = load_metric(name).compute(predictions=predictions, references=references)[key]
    statistic = METRICS[name]().row_statistic(key, classes)
    sums = statistic.rows(predictions, references).sum(0, keepdims=True)
    assert statistic.value(sums)[0] == pytest.approx(expected, abs=1e-9), name


def test_interval_of_span_f1_is_that_of_resampled_rows():
    generator = np.random.default_rng(3)
    statistic = METRICS["seqeval"]().row_statistic("f1", None)
    tags = [list(generator.choice(["O", "B-x", "B-y"], size=5)) for _ in range(60)]
    guesses = [[tag if generator.random() < 0.8 else "O" for tag in row] for row in tags]
    low, high = bootstrap_interval(statistic.rows(guesses, tags), statistic.value, resamples=4000)
    # By hand: draw the sentences themselves, score each draw with the metric.
    scores = []
    for _ in range(400):
        drawn = generator.integers(60, size=60)
        metric = load_metric("seqeval")
        scores.append(
            metric.compute(predictions=[guesses[i] for i in drawn], references=[tags[i] for i in drawn])["f1"]
        )
    expected = np.quantile(scores, [0.025, 0.975])
    assert (low, high) == pytest.approx(tuple(expected), abs=0.02)


def test_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        right = generator.random(150) < 0.8
        low, high = bootstrap_interval(np.stack([right, np.ones(150)], 1), lambda s: s[:, 0] / s[:, 1], seed=trial)
        covered += low <= 0.8 <= high
    assert 180 <= covered <= 199


def test_trainer_writes_results_with_intervals_by_dataset(build, tmp_path):
    trainer = build()
    trainer.train()
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    metrics = trainer.evaluate()
    trainer.save_model()
    card = (tmp_path / "out" / "README.md").read_text()
    assert check_metadata(card) == ([], [])
    assert str(tmp_path) not in card
    assert f"| `intent` | snips | validation | 24 | accuracy | {metrics['eval_intent_accuracy']:.3f} |" in card
    assert f"| `slots` | snips | validation | 24 | f1 | {metrics['eval_slots_f1']:.3f} |" in card
    assert f"| `similarity` | sts | validation | 8 | pearson | {metrics['eval_similarity_pearson']:.3f} |" in card
    assert all((a == b).all() for a, b in zip(before, trainer.model.parameters(), strict=True))


@dataclass(frozen=True)
class Mine(UniformSampler):
    size: int = 3


@pytest.mark.parametrize("mine", [None, Mine()])
def test_sampler_and_balancer_are_on_card_and_log_with_all_their_options(build, tmp_path, capsys, mine):
    options = {"shares": {"snips": 1, "sst": 2, "sts": 0.5}, "max_rows": {"sst": 4}}
    if mine is not None:
        options = {"max_rows": {"sst": 4}}
    trainer = build(
        **({"sampling": "fixed"} if mine is None else {}),
        sampling_options=options,
        balancing="dwa",
        balancing_options={"temperature": 3.0},
        trainer_kwargs={"sampler": mine},
        max_steps=1,
    )
    trainer.args.disable_tqdm = False
    trainer.train()
    trainer.create_model_card()
    card, log = (tmp_path / "out" / "README.md").read_text(), capsys.readouterr().err
    sampler = 'fixed (shares: {"snips": 1, "sst": 2, "sts": 0.5}, ' if mine is None else "Mine (size: 3, "
    expected = {"sampler": sampler + 'max_rows: {"sst": 4})', "balancer": "dwa (temperature: 3.0, interval: null)"}
    assert trainer.strategies() == expected
    assert f"- Sampling: {expected['sampler']}\n- Balancing of the tasks: {expected['balancer']}\n" in card
    assert "balancing_options" not in card
    for name, strategy in expected.items():
        assert f"{name}: {strategy}" in log.replace("\n", " ").replace("  ", " ")


def test_augmentation_and_average_are_on_card_and_log_with_all_their_options(build, tmp_path, capsys):
    trainer = build(
        augmentation={"word-deletion": {"p": 0.2, "datasets": {"sst": {}}}, "word-masking": {}},
        average={"kind": "ema"},
        methods={"r-drop": {"alpha": 0.5, "tasks": ["mood"]}},
        max_steps=1,
    )
    trainer.args.disable_tqdm = False
    trainer.train()
    trainer.create_model_card()
    card, log = (tmp_path / "out" / "README.md").read_text(), capsys.readouterr().err
    changes = (
        'word-deletion (datasets: {"sst": {"p": 0.2, "schedule": "constant", "rate": 0.1}}); '
        "word-masking (p: 0.5, schedule: constant, rate: 0.15)"
    )
    expected = {"augmentation": changes, "average": "ema (decay: 0.999)"}
    assert expected.items() <= trainer.strategies().items()
    assert f"- Augmentation of training rows: {changes}\n- Weights averaged over steps: ema (decay: 0.999)\n" in card
    assert "`augmentation`" not in card
    assert "`average`" not in card
    assert "- Training methods: r-drop (alpha: 0.5" in card
    assert "`methods`" not in card
    for name, strategy in expected.items():
        assert f"{name}: {strategy}" in log.replace("\n", " ").replace("  ", " ")


def test_snippets_of_a_written_card_run(build, tmp_path, monkeypatch, capsys):
    trainer = build()
    trainer.save_model()
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text(), flags=re.DOTALL)
    assert len(snippets) == 3
    names = {}
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), names)
    answer, shapes = capsys.readouterr().out.splitlines()[:2]
    assert set(ast.literal_eval(answer)) == {task.name for task in trainer.model.tasks}
    assert "'slots': torch.Size" in shapes
    assert type(names["stock"]).__name__ == "BertForSequenceClassification"
    assert (tmp_path / "intent" / "model.safetensors").is_file()
