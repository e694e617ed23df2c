import copy
import json
import logging

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from hf_mtl import TaskConfig
from hf_mtl.augmentation import make_augmentations
from hf_mtl.balancers import DynamicWeightAverage
from hf_mtl.data import LabelledDataset
from hf_mtl.heads import HEADS
from hf_mtl.recipe import Recipe, RecipeError
from hf_mtl.recipe._augmentation import joined_augmentation
from hf_mtl.samplers import TemperatureSampler
from tests.options import BALANCING, SAMPLING
from tests.unit.recipe.recipe_files import FILMS, write_recipe, write_rows


def prepare(values, folder="."):
    return Recipe.from_dict(values, folder).prepare()


def one_dataset(values, columns, data, tasks=None, name="d"):
    """Return a recipe over one dataset, saved with its features."""
    splits = data if isinstance(data, dict) else {"train": data}
    DatasetDict(splits).save_to_disk(name)
    dataset = {"load": {"path": f"./{name}"}, "columns": columns}
    return {**values, "datasets": {name: dataset}, "tasks": tasks or {}}


def rows(features, **columns):
    return Dataset.from_dict(columns, features=Features(features))


TEXTS = [f"text {i}" for i in range(12)]


def test_types_and_labels_are_inferred_from_the_data(values):
    opinion, intent, slots = prepare(values).tasks
    assert opinion == TaskConfig("opinion", "sentiment", labels=["neg", "pos"])
    assert intent == TaskConfig("intent", "sequence-classification", labels=["book", "play"])
    assert slots == TaskConfig("slots", "token-classification", labels=["B-artist", "B-place", "O"])


def test_only_mapped_columns_are_kept_and_renamed(values):
    prepared = prepare(values)
    assert prepared.train["films"].column_names == ["text", "opinion"]
    assert prepared.train["talks"].column_names == ["tokens", "intent", "slots"]


def test_a_constant_is_the_label_of_all_rows_of_a_dataset(values):
    values["datasets"]["films"]["constants"] = {"domain": "reviews"}
    values["datasets"]["films"]["train"] = "train[4:]"
    values["datasets"]["talks"]["constants"] = {"domain": "requests", "year": 2026}
    values["tasks"]["year"] = {"type": "regression"}
    prepared = prepare(values)
    by_name = {task.name: task for task in prepared.tasks}
    assert by_name["domain"] == TaskConfig("domain", "sequence-classification", labels=["reviews", "requests"])
    assert set(prepared.train["films"]["domain"]) == set(prepared.validation["films"]["domain"]) == {"reviews"}
    assert set(prepared.test["talks"]["year"]) == {2026}
    again = Recipe.from_dict(prepared.resolved("."), ".")
    assert again.datasets["talks"].constants == {"domain": "requests", "year": 2026}
    rows = LabelledDataset(
        "films", prepared.train["films"], [by_name["domain"]], {"domain": HEADS[by_name["domain"].type]}
    )
    assert rows.source_row(0) >= 4


@pytest.mark.parametrize(("name", "what"), [("text", "is an input"), ("opinion", "is a task with a column")])
def test_a_constant_of_what_has_a_column_is_refused(values, name, what):
    values["datasets"]["films"]["constants"] = {name: "x"}
    with pytest.raises(RecipeError, match=rf"datasets\.films\.constants\.{name}: {name!r} {what}"):
        prepare(values)


def test_rows_are_held_out_where_a_validation_split_is_missing(values, caplog):
    with caplog.at_level(logging.INFO, "hf_mtl"):
        prepared = prepare(values)
    kept, held = prepared.train["films"]["text"], prepared.validation["films"]["text"]
    assert (len(kept), len(held)) == (18, 2)
    assert sorted([*kept, *held]) == sorted(row["sentence"] for row in FILMS)
    assert sorted(prepared.validation["films"]["opinion"]) == ["neg", "pos"]
    assert "2 of its 20 training rows are held out (stratified by 'opinion', seed 42)" in caplog.text
    assert list(prepared.test) == ["talks"]


def test_the_seed_of_the_training_chooses_the_held_out_rows(values):
    values["datasets"]["films"]["validation_size"] = 6
    first, again = prepare(values), prepare(copy.deepcopy(values))
    values["training"]["seed"] = 7
    other = prepare(values)
    assert first.validation["films"].to_dict() == again.validation["films"].to_dict()
    assert first.validation["films"].to_dict() != other.validation["films"].to_dict()


def test_a_test_split_is_held_out_only_when_asked_for(values):
    values["datasets"]["films"] |= {"test_size": 0.2, "validation_size": 0}
    prepared = prepare(values)
    assert len(prepared.test["films"]) == 4
    assert "films" not in prepared.validation


def test_class_labels_keep_their_order_and_other_datasets_add_theirs(values):
    a = rows({"text": Value("string"), "y": ClassLabel(names=["z", "b"])}, text=TEXTS, y=[0, 1] * 6)
    b = rows({"text": Value("string"), "y": ClassLabel(names=["b", "a", "z"])}, text=TEXTS, y=[0, 1, 2] * 4)
    values = one_dataset(values, {"text": "text", "y": "topic"}, a, name="a")
    first = values["datasets"]
    values = one_dataset(values, {"text": "text", "y": "topic"}, b, name="b")
    values["datasets"] = {**first, **values["datasets"]}
    assert prepare(values).tasks[0].labels == ("z", "b", "a")


@pytest.mark.parametrize(
    ("feature", "labels", "given", "expected"),
    [
        (Value("string"), ["b", "a"] * 6, {}, TaskConfig("y", "sequence-classification", labels=["a", "b"])),
        (Value("bool"), [True, False] * 6, {}, TaskConfig("y", "sequence-classification", labels=["False", "True"])),
        (Value("float32"), [0.5] * 12, {}, TaskConfig("y", "regression")),
        (
            List(Value("float32")),
            [None, [0.5, 1.5]] * 6,
            {},
            TaskConfig("y", "regression", labels=["target_0", "target_1"]),
        ),
        (
            List(Value("float64")),
            [[0.5, None]] * 12,
            {"type": "regression", "labels": ["v", "a"]},
            TaskConfig("y", "regression", labels=["v", "a"]),
        ),
        (
            {"v": Value("float64"), "a": Value("int32")},
            [{"v": 0.5, "a": None}] * 12,
            {},
            TaskConfig("y", "regression", labels=["v", "a"]),
        ),
        (
            List(Value("string")),
            [["b", "a"], []] * 6,
            {"type": "multi-label-classification", "thresholds": 0.3},
            TaskConfig("y", "multi-label-classification", labels=["a", "b"], thresholds=0.3),
        ),
        (Value("int64"), [1, 2] * 6, {"type": "regression"}, TaskConfig("y", "regression")),
        (
            Value("int64"),
            [1, 2] * 6,
            {"labels": ["1", "2"]},
            TaskConfig("y", "sequence-classification", labels=["1", "2"]),
        ),
        (
            ClassLabel(names=["bad", "good"]),
            [0, 1] * 6,
            {"type": "sentiment"},
            TaskConfig("y", "sentiment", labels=["bad", "good"]),
        ),
        (
            List(Value("string")),
            [["b", "a"], []] * 6,
            {"weight": 2.0},
            TaskConfig(
                "y",
                "sequence-classification",
                labels=["a", "b"],
                problem_type="multi_label_classification",
                weight=2.0,
            ),
        ),
        (
            List(ClassLabel(names=["q", "p"])),
            [[0, 1], [1]] * 6,
            {},
            TaskConfig("y", "sequence-classification", labels=["q", "p"], problem_type="multi_label_classification"),
        ),
    ],
)
def test_features_tell_the_task(values, feature, labels, given, expected):
    data = rows({"text": Value("string"), "y": feature}, text=TEXTS, y=labels)
    values = one_dataset(values, {"text": "text", "y": "y"}, data, {"y": given})
    assert prepare(values).tasks == [expected]


@pytest.mark.parametrize(
    "feature",
    [
        {"text": List(Value("string")), "answer_start": List(Value("int32"))},
        List({"text": Value("string"), "answer_start": Value("int32")}),
    ],
)
def test_answers_with_their_starts_are_question_answering(values, feature):
    answer = {"text": ["text"], "answer_start": [0]}
    if not isinstance(feature, dict):
        answer = [{"text": "text", "answer_start": 0}]
    features = {"q": Value("string"), "c": Value("string"), "a": feature}
    columns = {"q": "text", "c": "text_pair", "a": "answer"}
    made = one_dataset(values, columns, rows(features, q=TEXTS, c=TEXTS, a=[answer] * 12))
    assert prepare(made).tasks == [TaskConfig("answer", "question-answering")]
    wrong = [{**item, "text": "txet"} if isinstance(item, dict) else item for item in answer]
    wrong = wrong if isinstance(answer, list) else {**answer, "text": ["txet"]}
    made = one_dataset(values, columns, rows(features, q=TEXTS, c=TEXTS, a=[answer] * 11 + [wrong]), name="wrong")
    with pytest.raises(
        RecipeError, match=r"Dataset 'wrong .*', row .*, task 'answer': answer 'txet' has the answer_start"
    ):
        prepare(made)


@pytest.mark.parametrize(
    ("feature", "labels"),
    [(Value("int64"), [1, 0] * 6), (ClassLabel(names=["A", "B"]), [1, 0] * 6), (Value("string"), ["y", "x"] * 6)],
)
def test_labels_beside_choices_choose_where_they_can_do_nothing_else(values, feature, labels):
    features = {"text": Value("string"), "options": List(Value("string")), "y": feature}
    data = rows(features, text=TEXTS, options=[["x", "y"]] * 12, y=labels)
    columns = {"text": "text", "options": "choices", "y": "y"}
    assert prepare(one_dataset(values, columns, data)).tasks == [TaskConfig("y", "multiple-choice")]
    data = data.add_column("topic", ["a", "b"] * 6)
    several = one_dataset(values, {**columns, "topic": "topic"}, data, {"y": {"type": "multiple-choice"}}, name="e")
    assert [task.type for task in prepare(several).tasks] == ["multiple-choice", "sequence-classification"]


def test_lists_of_class_labels_beside_tokens_are_tags(values):
    data = rows(
        {"words": List(Value("string")), "t": List(ClassLabel(names=["O", "B-x"]))},
        words=[["a", "b"]] * 12,
        t=[[1, 0]] * 12,
    )
    values = one_dataset(values, {"words": "tokens", "t": "tags"}, data)
    assert prepare(values).tasks == [TaskConfig("tags", "token-classification", labels=["O", "B-x"])]


def test_labels_that_no_training_row_has_come_last_with_a_warning(values, caplog):
    features = {"text": Value("string"), "y": Value("string")}
    train, test = (rows(features, text=TEXTS, y=y * 6) for y in (["m", "n"], ["a", "n"]))
    values = one_dataset(values, {"text": "text", "y": "y"}, {"train": train, "test": test})
    assert prepare(values).tasks[0].labels == ("m", "n", "a")
    assert "labels that no training row has: 'a'" in caplog.text


def test_test_rows_without_labels_are_not_scored(values):
    features = {"text": Value("string"), "y": ClassLabel(names=["m", "n"])}
    train, test = (rows(features, text=TEXTS, y=y * 6) for y in ([0, 1], [-1, -1]))
    values = one_dataset(values, {"text": "text", "y": "y"}, {"train": train, "test": test})
    assert prepare(values).test == {}


def test_other_names_and_slices_of_splits_can_be_named(values):
    features = {"text": Value("string"), "y": Value("string")}
    data = {"learn": rows(features, text=TEXTS, y=["m", "n"] * 6), "dev": rows(features, text=TEXTS, y=["m", "n"] * 6)}
    values = one_dataset(values, {"text": "text", "y": "y"}, data)
    values["datasets"]["d"]["train"] = "learn"
    prepared = prepare(values)
    assert len(prepared.train["d"]) == len(prepared.validation["d"]) == 12
    values["datasets"]["d"] = {
        "load": {"path": "json", "data_files": "films.jsonl"},
        "columns": {"sentence": "text", "label": "y"},
        "train": "train[:10]",
        "test": "train[10:]",
    }
    prepared = prepare(values)
    assert (len(prepared.train["d"]), len(prepared.validation["d"]), len(prepared.test["d"])) == (9, 1, 10)


def test_files_are_found_from_the_recipes_folder(values, folder, monkeypatch):
    path = write_recipe(folder, values)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert len(Recipe.load(path).prepare().train["talks"]) == 12


@pytest.mark.parametrize("start", [".", "elsewhere"])
def test_the_resolved_recipe_loads_to_the_same(values, folder, monkeypatch, start):
    values["tasks"]["slots"] = {"weight": 2.0, "options": {"scheme": "plain"}}
    prepared = Recipe.load(write_recipe(folder, values), ["training.learning_rate=1e-4"]).prepare()
    run = folder / "runs" / "one"
    run.mkdir(parents=True)
    (folder / "elsewhere").mkdir()
    written = prepared.write("runs/one").resolve()
    monkeypatch.chdir(folder / start)
    again = Recipe.load(written).prepare()
    assert again.tasks == prepared.tasks
    assert again.args.to_dict() == prepared.args.to_dict()
    for use in ("train", "validation", "test"):
        first, second = getattr(prepared, use), getattr(again, use)
        assert {name: data.to_dict() for name, data in first.items()} == {n: d.to_dict() for n, d in second.items()}
    assert again.resolved(run)["tasks"] == prepared.resolved(run)["tasks"]


def test_sampling_and_its_options_reach_the_trainer_and_the_resolved_recipe(values):
    sampling = {"strategy": "temperature", "temperature": 4, "max_rows": {"films": 5}, "weights": {"talks": 2}}
    prepared = prepare({**values, "sampling": sampling})
    assert prepared.resolved()["sampling"] == sampling
    expected = [5**0.25, 2 * 12**0.25]
    shares = [item["share"] for item in prepared.summary()]
    assert shares == pytest.approx([share / sum(expected) for share in expected])
    assert prepared.build().trainer.sampler == TemperatureSampler(4)


@pytest.mark.parametrize(
    ("own", "schedule", "average"),
    [
        ({}, "constant", "ema"),
        ({"average": {"kind": "tail"}}, "constant", "tail"),
        ({"average": {}}, "constant", None),
        ({"training": {"average": {"kind": "tail"}}}, "constant", "tail"),
        ({"training": {"lr_scheduler_type": "cosine"}}, "cosine", "ema"),
        ({"preset": None}, "linear", None),
    ],
)
def test_a_preset_is_taken_where_the_recipe_says_nothing(values, own, schedule, average):
    training = {**values.get("training", {}), **own.get("training", {})}
    read = Recipe.from_dict({**values, "preset": "quality", **own, "training": training})
    for args in (read.training_arguments(), Recipe.from_dict(read.prepare().resolved("."), ".").training_arguments()):
        assert args.lr_scheduler_type == schedule
        assert (args.average or {}).get("kind") == average


def test_the_same_recipe_builds_the_same_model(values):
    first, second = (Recipe.from_dict(values).build().model.state_dict() for _ in range(2))
    assert all(first[name].equal(second[name]) for name in first)


def test_numbers_in_training_may_be_written_as_texts(values):
    values["training"] |= {"learning_rate": "1e-4", "num_train_epochs": 2, "max_steps": 3.0}
    args = Recipe.from_dict(values).training_arguments()
    assert (args.learning_rate, args.num_train_epochs, args.max_steps) == (1e-4, 2.0, 3)


@pytest.mark.parametrize("key", ["training", "encoder", "sampling", "methods"])
def test_a_copy_with_values_that_it_would_not_train_with_is_refused(values, key):
    read = Recipe.from_dict(values)
    with pytest.raises(ValueError, match=f"another {key!r}.*Recipe.from_dict"):
        read.model_copy(update={"only": [], key: {"learning_rate": 1.0}})
    assert read.model_copy().training_arguments().learning_rate == read.training_arguments().learning_rate


def test_a_mistake_in_an_override_names_the_override(values, folder):
    with pytest.raises(RecipeError) as caught:
        Recipe.load(write_recipe(folder, values), ["training.learning_rat=1"])
    assert str(caught.value).startswith("override 'training.learning_rat=1': training.learning_rat: no such field.")


def test_preparing_writes_nothing_beside_the_recipe(values, folder):
    before = sorted(folder.rglob("*"))
    prepare(values)
    assert sorted(folder.rglob("*")) == before


def test_labels_of_a_trained_model_decide(values):
    recipe = Recipe.from_dict(values)
    tasks = [
        TaskConfig("opinion", "sentiment", labels=["neg", "pos"]),
        TaskConfig("intent", "sequence-classification", labels=["play", "book"]),
        TaskConfig("slots", "token-classification", labels=["O", "B-artist", "B-place"]),
    ]
    assert set(recipe.prepare_for(tasks, "validation")) == {"films", "talks"}
    assert set(recipe.prepare_for(tasks, "test")) == {"talks"}
    tasks[0] = TaskConfig("opinion", "sentiment", labels=["bad", "good"])
    with pytest.raises(
        RecipeError,
        match=r"Dataset 'films \(validation\)', row 4 \(line 5 of .*\), task 'opinion': label '(neg|pos)' is",
    ):
        recipe.prepare_for(tasks, "validation")


def test_held_out_rows_are_the_same_for_evaluation(values):
    values["datasets"]["films"]["test_size"] = 5
    recipe = Recipe.from_dict(values)
    prepared = recipe.prepare()
    for split in ("validation", "test"):
        data = recipe.prepare_for(prepared.tasks, split)["films"]
        assert data.to_dict() == getattr(prepared, split)["films"].to_dict()


def test_csv_options_reach_the_reader(values, folder):
    (folder / "x.csv").write_text("text;y\n" + "one;a\ntwo;b\n" * 5, encoding="utf-8")
    values |= {"tasks": {}, "datasets": {"d": {"load": {"path": "csv", "data_files": "x.csv", "sep": ";"}}}}
    values["datasets"]["d"]["columns"] = {"text": "text", "y": "y"}
    assert prepare(values).tasks[0].labels == ("a", "b")


def test_file_patterns_are_found(values, folder):
    (folder / "parts").mkdir()
    for i in range(2):
        write_rows(folder / "parts" / f"{i}.jsonl", FILMS)
    values["datasets"]["films"]["load"]["data_files"] = "parts/*.jsonl"
    assert len(prepare(values).train["films"]) == 36


@pytest.mark.parametrize("seed", range(3))
def test_held_out_rows_have_the_labels_in_proportion(values, seed):
    values["datasets"]["films"]["validation_size"] = 10
    values["training"]["seed"] = seed
    held = prepare(values).validation["films"]["opinion"]
    assert (held.count("neg"), held.count("pos")) == (5, 5)


@pytest.mark.parametrize("strategy", SAMPLING)
@pytest.mark.parametrize("method", ["fixed", "dwa", "gradient"])
def test_any_sampling_and_balancing_come_through_a_recipe_and_out_of_it_again(values, strategy, method):
    names = {"a": "films", "b": "talks"}
    text = json.dumps({"sampling": {"strategy": strategy, **SAMPLING[strategy]}})
    for short, name in names.items():
        text = text.replace(f'"{short}"', f'"{name}"')
    given = {**json.loads(text), "balancing": {"method": method, **BALANCING[method]}}
    prepared = prepare({**values, **given})
    resolved = prepared.resolved()
    assert {key: resolved[key] for key in given} == given
    sampler, rules = prepared.args.make_sampler()
    assert {"strategy": strategy, **sampler.options(), **rules.options()} == given["sampling"]
    assert {"method": method, **prepared.args.make_balancer().options()} == given["balancing"]


def test_sampler_and_balancer_are_made_once_for_all_that_use_them(values, monkeypatch):
    made, weighed = [], []
    monkeypatch.setattr(TemperatureSampler, "__post_init__", lambda self: made.append(self))
    monkeypatch.setattr(DynamicWeightAverage, "__post_init__", lambda self: weighed.append(self))
    # Options that no other test gives: the same ones are shared by all that ask.
    values["balancing"] = {"method": "dwa", "temperature": 4.03125}
    prepared = prepare({**values, "sampling": {"strategy": "temperature", "temperature": 4.03125}})
    prepared.summary(), prepared.resolved()
    trainer = prepared.build().trainer
    trainer.summary()
    assert len(made) == len(weighed) == 1
    assert trainer.sampler is made[0]
    assert trainer.balancer is weighed[0]
    # A sweep sets fields of arguments that are made already.
    trainer.args.sampling_options = {"temperature": 2}
    assert trainer.args.make_sampler()[0].temperature == 2
    trainer.args.sampling_options["temperature"] = 3
    assert trainer.args.make_sampler()[0].temperature == 3


def test_balancing_reaches_the_arguments_and_the_resolved_recipe(values):
    values["balancing"] = {"method": "dwa", "temperature": 3.0}
    prepared = prepare(values)
    assert (prepared.args.balancing, prepared.args.balancing_options) == ("dwa", {"temperature": 3.0})
    assert prepared.resolved()["balancing"] == {"method": "dwa", "temperature": 3.0, "interval": None}
    assert not {"balancing", "balancing_options"} & set(prepared.resolved()["training"])


@pytest.mark.parametrize(
    ("balancing", "words"),
    [
        ({"method": "dwwa"}, "balancing: Unknown balancing 'dwwa'. Did you mean 'dwa'"),
        ({"method": "dwa", "temprature": 1}, "Did you mean 'temperature'"),
        ({"method": "dwa", "interval": 0}, "interval must be a whole number"),
        ("dwa", "balancing: expected a mapping, found 'dwa'"),
    ],
)
def test_wrong_balancing_is_one_line(values, balancing, words):
    values["balancing"] = balancing
    with pytest.raises(RecipeError, match=words):
        Recipe.from_dict(values)


def test_balancing_given_twice_is_refused(values):
    values["balancing"] = {"method": "dwa"}
    values["training"]["balancing"] = "equal"
    with pytest.raises(RecipeError, match="balancing is given twice"):
        Recipe.from_dict(values)


def test_a_recipe_gives_a_task_its_branch(values, tmp_path):
    values["branches"] = {"tagging": 1}
    name = next(iter(values["tasks"]))
    values["tasks"][name]["branch"] = "tagging"
    prepared = Recipe.from_dict(values, tmp_path).prepare()
    model = prepared.build().model
    assert model.config.branches == {"tagging": 1}
    assert model.config.task(name).branch == "tagging"
    assert prepared.resolved()["branches"] == {"tagging": 1}
    values["tasks"][name]["branch"] = "taging"
    with pytest.raises(RecipeError, match=rf"tasks\.{name}\.branch: 'taging' does not exist\. Did you mean 'tagging'"):
        Recipe.from_dict(values, tmp_path)


def test_augmentation_is_named_at_the_top_and_under_datasets(values):
    values["augmentation"] = {"punctuation-insertion": {}, "word-deletion": {"p": 0.2}}
    values["datasets"]["talks"]["augmentation"] = {"word-deletion": {"rate": 0.5}, "mention-replacement": {"p": 1.0}}
    prepared = Recipe.from_dict(values).prepare()
    found = prepared.resolved()["augmentation"]
    deletion = {"p": 0.2, "schedule": "constant", "rate": 0.1}
    assert found == {
        "punctuation-insertion": {"p": 0.5, "schedule": "constant", "datasets": None, "rate": pytest.approx(1 / 3)},
        "word-deletion": {"datasets": {"films": deletion, "talks": {**deletion, "rate": 0.5}}},
        "mention-replacement": {"datasets": {"talks": {"p": 1.0, "schedule": "constant", "rate": 0.5}}},
    }
    del values["datasets"]["talks"]["augmentation"]
    again = Recipe.from_dict({**values, "augmentation": found}).prepare()
    assert again.resolved()["augmentation"] == found
    made = [make_augmentations(p.args.augmentation) for p in (prepared, again)]
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("top", "own", "joined"),
    [
        ({}, {}, {}),
        ({"x": {"p": 1}}, {}, {"x": {"p": 1}}),
        (
            {"x": {"p": 1, "datasets": ["b"]}},
            {"a": {"x": {"r": 2}}},
            {"x": {"p": 1, "datasets": {"b": {}, "a": {"r": 2}}}},
        ),
        (
            {"x": {"p": 1, "datasets": {"a": {"r": 1, "q": 0}}}},
            {"a": {"x": {"r": 2}}},
            {"x": {"p": 1, "datasets": {"a": {"r": 2, "q": 0}}}},
        ),
        (
            {},
            {"a": {"x": {}}, "b": {"y": {"p": 0}}},
            {"x": {"datasets": {"a": {}}}, "y": {"datasets": {"b": {"p": 0}}}},
        ),
    ],
)
def test_options_of_a_dataset_take_precedence(top, own, joined):
    before = copy.deepcopy((top, own))
    assert joined_augmentation(top, {"a": {}, "b": {}, **own}) == joined
    assert (top, own) == before


def test_wrong_augmentation_of_a_dataset_is_one_line(values):
    values["datasets"]["talks"]["augmentation"] = {"word-deletion": {"p": 2}}
    with pytest.raises(RecipeError, match="augmentation 'word-deletion', dataset 'talks': p must"):
        Recipe.from_dict(values)
    values["datasets"]["talks"]["augmentation"] = {"word-deletion": {}}
    values["training"]["augmentation"] = {"word-masking": {}}
    with pytest.raises(RecipeError, match="augmentation is given twice"):
        Recipe.from_dict(values)


def test_an_average_is_read_refused_and_listed_in_full(values):
    values["average"] = {"kind": "tail"}
    recipe = Recipe.from_dict(values)
    assert recipe.prepare().args.average == {"kind": "tail", "from": 0.67}
    assert recipe.prepare().resolved()["average"] == {"kind": "tail", "from": 0.67}
    values["average"] = {"kind": "tail", "decay": 0.9}
    with pytest.raises(RecipeError, match="has no option 'decay'"):
        Recipe.from_dict(values)
    values |= {"average": {"kind": "ema"}, "training": {**values["training"], "average": {"kind": "ema"}}}
    with pytest.raises(RecipeError, match="average is given twice"):
        Recipe.from_dict(values)


def test_adapters_of_a_recipe_reach_the_trainer_and_the_resolved_recipe(values):
    pytest.importorskip("peft")
    values["peft"] = {"type": "LORA", "r": 2, "target_modules": ["query"]}
    prepared = prepare(values)
    assert prepared.resolved()["peft"] == values["peft"]
    assert prepared.build().model.has_adapters
    values["peft"]["rank"] = 3
    with pytest.raises(RecipeError, match="peft: LORA has no option 'rank'"):
        Recipe.from_dict(values)
