"""What users get wrong: each is one line on stderr and exit code 2, and nothing is written."""

import json

import datasets
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from tests.encoders import tiny_encoder
from tests.unit.recipe.recipe_files import FILMS, TALKS, recipe_values, write_data, write_recipe, write_rows


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)
    return tmp_path


@pytest.fixture
def values(folder, encoder_folder):
    return recipe_values(encoder_folder, "run")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("model")
    tasks = [
        TaskConfig("opinion", "sentiment", labels=["neg", "pos"]),
        TaskConfig("intent", "sequence-classification", labels=["book", "play"]),
        TaskConfig("slots", "token-classification", labels=["B-artist", "B-place", "O"]),
    ]
    MultiTaskModel.from_encoder(tiny_encoder(), tasks).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def recipe_file(folder, values):
    """Write the recipe; its name counts from the current directory, as users give it."""
    return write_recipe(folder, values).name


def fails(folder, *args, **kwargs):
    """Run a command that must fail; return its one line."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    result = CliRunner().invoke(app, [str(arg) for arg in args], **kwargs)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before, "something was written"
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if "has no validation split" not in line]
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def _set(values, path, value):
    *parents, last = path.split(".")
    for key in parents:
        values = values[key]
    values[last] = value


#: What is wrong -> a change of the recipe, as (dotted path, value) or a function, and what the line says.
RECIPES = {
    "unknown top key": (("trainng", {}), "recipe.yaml: unknown key 'trainng'. Did you mean 'training'?"),
    "unknown dataset key": (
        ("datasets.films.colums", {}),
        "recipe.yaml: datasets.films: unknown key 'colums'. Did you mean 'columns'?",
    ),
    "unknown training field": (
        ("training.learning_rat", 1),
        "recipe.yaml: training.learning_rat: no such field. Did you mean 'learning_rate'?",
    ),
    "training field of the wrong type": (
        ("training.learning_rate", "fast"),
        "recipe.yaml: training.learning_rate: expected a number, found 'fast'.",
    ),
    "training choice that does not exist": (
        ("training.eval_strategy", "epochs"),
        "recipe.yaml: training.eval_strategy: 'epochs' is none of 'no', 'steps', 'epoch'. Did you mean 'epoch'?",
    ),
    "batches of no rows": (
        ("training.per_device_train_batch_size", 0),
        "recipe.yaml: training.per_device_train_batch_size: must be at least 1, found 0.",
    ),
    "no epochs": (
        lambda v: v["training"].update(max_steps=-1, num_train_epochs=0),
        "recipe.yaml: training.num_train_epochs: must be above 0, found 0.0.",
    ),
    "metric that no evaluation gives": (
        ("training.metric_for_best_model", "slot_f1"),
        "training.metric_for_best_model: no evaluation gives 'slot_f1'. Did you mean 'slots_f1'?",
    ),
    "unknown main metric": (
        ("tasks.opinion.main_metric", "acuracy"),
        "recipe.yaml: tasks.opinion.main_metric: 'acuracy' is not among the task's metrics: 'accuracy', ",
    ),
    "true for a number": (("training.seed", True), "training.seed: expected a whole number, found True."),
    "training values that contradict": (
        lambda v: v["training"].update(load_best_model_at_end=True, eval_strategy="no"),
        "recipe.yaml: training: ",
    ),
    "unknown task field": (
        ("tasks.opinion.lables", []),
        "recipe.yaml: tasks.opinion: unknown field 'lables'. Did you mean 'labels'?",
    ),
    "unknown task type": (
        ("tasks.opinion.type", "sentimental"),
        "recipe.yaml: tasks.opinion.type: unknown type 'sentimental'. Did you mean 'sentiment'?",
    ),
    "task that no dataset labels": (
        ("tasks.opinon", {"weight": 2}),
        "recipe.yaml: tasks.opinon: no dataset maps a column to it. Did you mean 'opinion'?",
    ),
    "labels that YAML reads as true": (
        ("tasks.opinion.labels", [True, False]),
        "tasks.opinion: Task 'opinion': labels must be non-empty strings, found True. Quote it where it is written.",
    ),
    "unknown option": (("tasks.opinion.options", {"los": "ordinal"}), "unknown option 'los'"),
    "unknown metric": (("tasks.opinion.metrics", ["acuracy"]), "recipe.yaml: tasks.opinion: "),
    "missing datasets": (lambda v: v.pop("datasets"), "recipe.yaml: datasets: is missing."),
    "no datasets": (("datasets", {}), "recipe.yaml: datasets: none given."),
    "encoder of the wrong type": (("encoder", 3), "recipe.yaml: encoder: expected a text, found 3."),
    "encoder folder missing": (("encoder", "./bert"), "recipe.yaml: encoder: no folder './bert', neither here nor"),
    "encoder without a network": (("encoder", "no-one/no-such-model"), "recipe.yaml: encoder: "),
    "unknown dtype": (("encoder_kwargs", {"dtyp": "x"}), "encoder_kwargs: unknown key 'dtyp'. Did you mean 'dtype'?"),
    "missing file": (
        ("datasets.films.load.data_files", "film.jsonl"),
        "recipe.yaml: datasets.films.load.data_files: no file 'film.jsonl', neither here nor in the recipe's folder",
    ),
    "missing path": (("datasets.films.load", {}), "recipe.yaml: datasets.films.load: path is missing."),
    "unknown load argument": (
        ("datasets.films.load", {"path": "json", "data_file": "films.jsonl"}),
        "datasets.films.load: unknown argument 'data_file' of the format 'json'. Did you mean 'data_files'?",
    ),
    "dataset without a network": (
        ("datasets.films.load", {"path": "no-one/no-such-data"}),
        "recipe.yaml: datasets.films.load: cannot load 'no-one/no-such-data': ",
    ),
    "file in another format": (("datasets.films.load.path", "parquet"), "datasets.films.load: cannot load 'parquet': "),
    "missing split": (
        ("datasets.films.train", "trian"),
        "recipe.yaml: datasets.films.train: no split 'trian'. Did you mean 'train'? Splits: 'train'.",
    ),
    "missing column": (
        ("datasets.films.columns", {"sentense": "text", "label": "opinion"}),
        "datasets.films.columns: the train split has no column 'sentense'. Did you mean 'sentence'?",
    ),
    "columns mapped to one name": (
        ("datasets.films.columns", {"sentence": "text", "label": "text"}),
        "recipe.yaml: datasets.films.columns: 'sentence', 'label' are all mapped to 'text'. Map one of them.",
    ),
    "no input column": (
        ("datasets.films.columns", {"sentence": "txt", "label": "opinion"}),
        "recipe.yaml: datasets.films.columns: no input. Map a column to 'text', two to 'text' and 'text_pair', or one "
        "to 'tokens' or 'image'. Did you mean 'text' for 'txt'?",
    ),
    "no task column": (("datasets.films.columns", {"sentence": "text"}), "datasets.films.columns: no task."),
    "task that no column is mapped to": (
        ("datasets.films.columns", {"sentence": "text", "label": "labels"}),
        "tasks.opinion: no dataset maps a column to it",
    ),
    "unknown sampling": (
        ("sampling", {"strategy": "proportionl"}),
        "recipe.yaml: sampling: Unknown sampling strategy 'proportionl'. Did you mean 'proportional'?",
    ),
    "unknown sampling option": (
        ("sampling", {"strategy": "temperature", "temprature": 2}),
        "recipe.yaml: sampling: Sampling strategy 'temperature' has no option 'temprature'. "
        "Did you mean 'temperature'? Options: 'temperature', 'exhausted', 'max_rows', 'weights'.",
    ),
    "sampling names no dataset": (
        ("sampling", {"strategy": "uniform", "weights": {"film": 2}}),
        "recipe.yaml: sampling: weights names 'film', which is no training dataset. Did you mean 'films'? "
        "Datasets: 'films', 'talks'.",
    ),
    "sampling given twice": (
        lambda v: (v.update(sampling={"strategy": "proportional"}), v["training"].update(sampling="proportional")),
        "recipe.yaml: training.sampling: sampling is given twice.",
    ),
    "sentiment without order": (
        ("tasks.opinion", {"type": "sentiment"}),
        "recipe.yaml: tasks.opinion.labels: sentiment needs its labels in order, from most negative to most positive, "
        "and the data do not show it. Found 'neg', 'pos'.",
    ),
    "label that the task lacks": (
        ("tasks.intent", {"labels": ["play", "boook"]}),
        "Dataset 'talks (train)', row 1 (line 2 of 'talks-train.jsonl'), task 'intent': label 'book' is not one of the "
        "task's 2: 'play', 'boook'. Did you mean 'boook'?",
    ),
    "tags for a text": (
        lambda v: v["datasets"]["films"].update(columns={"sentence": "tokens", "label": "opinion"}),
        "Dataset 'films (train)': column 'tokens' must hold a list of strings, found",
    ),
    "too many rows held out": (
        ("datasets.films.validation_size", 20),
        "datasets.films.validation_size: 20 rows cannot be held out of 20.",
    ),
    "negative size": (("datasets.films.validation_size", -0.1), "datasets.films.validation_size: "),
    "no evaluation data": (
        lambda v: (
            v["training"].update(eval_strategy="epoch"),
            v["datasets"].pop("talks"),
            v["datasets"]["films"].update(validation_size=0),
        ),
        "recipe.yaml: training: ",
    ),
    "batch that is never full": (
        lambda v: v["training"].update(per_device_train_batch_size=100, dataloader_drop_last=True),
        "rows do not fill one batch of 100, so with dataloader_drop_last none",
    ),
    "a flag of scripts": (("training.do_train", True), "training.do_train: `hf-mtl train` trains. Leave it out."),
    "a checkpoint in the recipe": (("training.resume_from_checkpoint", "runs"), "`hf-mtl train --resume` continues"),
    "what the trainer has no use for": (("training.label_smoothing_factor", 0.1), "TaskConfig(name, label_smoothing"),
    "too long an input": (("training.max_length", 1000), "recipe.yaml: training: max_length must lie between 3 and 64"),
    "run folder that is a file": (("training.output_dir", "films.jsonl"), "training.output_dir: "),
}


@pytest.mark.parametrize("mistake", RECIPES)
def test_a_wrong_recipe_is_one_line(folder, values, mistake):
    change, message = RECIPES[mistake]
    if callable(change):
        change(values)
    else:
        _set(values, *change)
    assert message in fails(folder, "train", recipe_file(folder, values))


#: What is wrong with the rows -> the rows of 'films.jsonl', and what the line says.
ROWS = {
    "null text": ([*FILMS, {"sentence": None, "label": "pos"}], "Dataset 'films (", "column 'text' is null."),
    "no rows": ([], "datasets.films.load: ", "rows"),
    "integers without names": (
        [{"sentence": "a", "label": i % 2} for i in range(10)],
        "recipe.yaml: tasks.opinion",
        "integers without names",
    ),
    "texts that are numbers": (
        [{"sentence": i, "label": f"{i % 2}"} for i in range(10)],
        "Dataset 'films (train)'",
        "column 'text' must hold strings",
    ),
    "one label only": (
        [{"sentence": "a", "label": "pos"} for i in range(10)],
        "tasks.opinion: Task 'opinion': sequence-classification needs at least 2 labels, found 'pos'",
        "",
    ),
    "no labels at all": (
        [{"sentence": "a", "label": None} for i in range(10)],
        "recipe.yaml: tasks.opinion: no row of dataset 'films' has a label. Leave the task out, or label some.",
        "",
    ),
}


@pytest.mark.parametrize("mistake", ROWS)
def test_wrong_rows_are_one_line(folder, values, mistake):
    rows, where, what = ROWS[mistake]
    write_rows(folder / "films.jsonl", rows)
    values["tasks"] = {}
    line = fails(folder, "train", recipe_file(folder, values))
    assert where in line
    assert what in line


def test_too_few_tags_are_one_line(folder, values):
    write_rows(folder / "talks-train.jsonl", [*TALKS, {"words": ["a", "b"], "act": "play", "marks": ["O"]}])
    line = fails(folder, "train", recipe_file(folder, values))
    assert line == (
        "Dataset 'talks (train)', row 12 (line 13 of 'talks-train.jsonl'), task 'slots': 1 tags for 2 tokens. Token "
        "classification needs one tag per token."
    )


def test_broken_json_in_the_data_is_one_line(folder, values):
    (folder / "films.jsonl").write_text('{"sentence": "a", "label": "pos"}\n{"sentence": \n', encoding="utf-8")
    line = fails(folder, "train", recipe_file(folder, values))
    assert line.startswith("recipe.yaml: datasets.films.load: cannot load 'json': ")


def test_tags_without_tokens_are_one_line(folder, values):
    features = Features({"t": Value("string"), "y": List(ClassLabel(names=["O", "B-x"]))})
    Dataset.from_dict({"t": ["a b"] * 10, "y": [[0, 1]] * 10}, features=features).to_parquet("tags.parquet")
    values["datasets"] = {
        "tags": {"load": {"path": "parquet", "data_files": "tags.parquet"}, "columns": {"t": "text", "y": "tags"}}
    }
    values["tasks"] = {"tags": {"type": "token-classification"}}
    line = fails(folder, "train", recipe_file(folder, values))
    assert "Dataset 'tags (train)', task 'tags': token classification needs a column 'tokens'" in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encoder: [a", "recipe.yaml: line 1, column 12: not valid YAML: "),
        ("encoder: a\ndatasets: {}\nencoder: b\n", "recipe.yaml: line 3: the key 'encoder' occurs twice."),
        ("", "recipe.yaml: a recipe is a mapping with the keys encoder and datasets; found nothing."),
        ("- a\n", "recipe.yaml: a recipe is a mapping with the keys encoder and datasets; found a list."),
        ("datasets: {1: a}", "recipe.yaml: line 1: the key 1 is not text. Put it in quotes."),
    ],
)
def test_wrong_yaml_is_one_line(folder, text, message):
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    assert message in fails(folder, "train", "recipe.yaml")


def test_an_encoder_without_a_tokenizer_is_one_line(folder, values):
    tiny_encoder().save_pretrained("bare")
    values["encoder"] = "bare"
    assert "encoder: 'bare' holds no tokenizer." in fails(folder, "train", recipe_file(folder, values))


def test_a_missing_recipe_is_one_line(folder):
    assert fails(folder, "train", "recipes.yaml") == "recipes.yaml: no such file."


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["training.learning_rate"], "override 'training.learning_rate': not of the form key=value"),
        (["training.learning_rat=1"], "override 'training.learning_rat=1': training.learning_rat: no such field."),
        (["encoder.name=x"], "override 'encoder.name=x': encoder is "),
        (["--frobnicate"], "No such option: --frobnicate"),
        (["--resume"], "'run' holds no checkpoint to resume from. Train without --resume."),
        (["--resume", "--overwrite"], "--overwrite and --resume contradict each other."),
    ],
)
def test_wrong_arguments_of_train_are_one_line(folder, values, args, message):
    assert message in fails(folder, "train", recipe_file(folder, values), *args)


def test_a_model_that_is_already_there_is_not_replaced(folder, values, model_folder):
    values["training"]["output_dir"] = str(model_folder)
    line = fails(folder, "train", recipe_file(folder, values))
    assert line.startswith(f"{str(model_folder)!r} already holds a trained model. Replace it with --overwrite")


@pytest.mark.parametrize("args", [[], ["trian"], ["train"], ["evaluate", "x"], ["predict", "x"]])
def test_wrong_command_lines_are_one_line(folder, args):
    assert fails(folder, *args).endswith("See hf-mtl --help.")


# evaluate


def test_labels_that_the_model_does_not_know_are_one_line(folder, values, model_folder):
    write_rows(folder / "talks-test.jsonl", [TALKS[0], {**TALKS[1], "act": "boook"}])
    line = fails(folder, "evaluate", model_folder, recipe_file(folder, values), "--split", "test", "-o", "scores.json")
    assert line.startswith(
        "Dataset 'talks (test)', row 1 (line 2 of 'talks-test.jsonl'), task 'intent': label 'boook' is"
    )


def test_a_task_that_the_model_lacks_is_one_line(folder, values, model_folder):
    values["datasets"]["talks"]["columns"]["act"] = "intents"
    line = fails(folder, "evaluate", model_folder, recipe_file(folder, values))
    assert line.startswith(
        "recipe.yaml: datasets.talks.columns: 'intents' is no task of the model. Did you mean 'intent'"
    )


def test_a_split_that_is_nowhere_is_one_line(folder, values, model_folder):
    del values["datasets"]["talks"]
    line = fails(folder, "evaluate", model_folder, recipe_file(folder, values), "--split", "test")
    assert line == "recipe.yaml: datasets: none has a test split with labels."


def test_a_wrong_split_is_one_line(folder, values, model_folder):
    line = fails(folder, "evaluate", model_folder, recipe_file(folder, values), "--split", "dev")
    assert "--split" in line


def test_an_unwritable_output_of_evaluate_is_one_line(folder, values, model_folder):
    line = fails(folder, "evaluate", model_folder, recipe_file(folder, values), "-o", "no/scores.json")
    assert "no/scores.json: the folder 'no' does not exist." in line


# predict


def test_a_folder_without_a_multi_task_model_is_one_line(folder, encoder_folder):
    write_rows(folder / "in.jsonl", [{"text": "a"}])
    line = fails(folder, "predict", encoder_folder, "in.jsonl", "-o", "out.jsonl")
    assert line == (
        f"model {str(encoder_folder)!r}: it is a plain 'bert' model, not a multi-task one. Train one with hf-mtl train."
    )
    assert "has no config.json" in fails(folder, "predict", ".", "in.jsonl", "-o", "out.jsonl")
    assert "no such folder" in fails(folder, "predict", "./run", "in.jsonl", "-o", "out.jsonl")
    assert fails(folder, "predict", "no-one/no-such-model", "in.jsonl", "-o", "o").startswith("model 'no-one/no-such-")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": ', "in.jsonl, line 3: not JSON (Expecting value, column"),
        ('["a"]', 'in.jsonl, line 3: expected an object such as {"text": "..."}, found ["a"].'),
        ('{"txt": "a"}', "in.jsonl, line 3: no 'text' and no 'tokens'. Fields: 'txt'."),
        ('{"text": null}', "in.jsonl, line 3: no 'text' and no 'tokens'. Fields: 'text'."),
        ('{"text": 3}', "in.jsonl, line 3: 'text' must be a text, found 3."),
        ('{"text": "a", "text_pair": []}', "in.jsonl, line 3: 'text_pair' must be a text, found []."),
        ('{"tokens": "a b"}', "in.jsonl, line 3: 'tokens' must be a list of texts, found \"a b\"."),
        ('{"tokens": ["a", 1]}', "in.jsonl, line 3: 'tokens' must be a list of texts"),
    ],
)
def test_a_wrong_line_is_named(folder, model_folder, line, message):
    (folder / "in.jsonl").write_text(f'{{"text": "a"}}\n\n{line}\n', encoding="utf-8")
    assert message in fails(folder, "predict", model_folder, "in.jsonl", "-o", "out.jsonl", "--batch-size", "1")


def test_an_old_output_survives_a_failure(folder, model_folder):
    (folder / "in.jsonl").write_text('{"text": "a"}\n{', encoding="utf-8")
    (folder / "out.jsonl").write_text("old", encoding="utf-8")
    fails(folder, "predict", model_folder, "in.jsonl", "-o", "out.jsonl", "--batch-size", "1")
    assert (folder / "out.jsonl").read_text(encoding="utf-8") == "old"


def test_text_that_is_not_utf_8_is_one_line(folder, model_folder):
    (folder / "in.jsonl").write_bytes(json.dumps({"text": "a"}).encode() + b'\n{"text": "\xff"}\n')
    assert "not UTF-8 text" in fails(folder, "predict", model_folder, "in.jsonl", "-o", "out.jsonl")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["in.jsonl", "-o", "out.jsonl", "--tasks", "intnt"], "--tasks: 'intnt' is no task of the model. Did you mean"),
        (["in.jsonl", "-o", "out.jsonl", "--tasks", ","], "--tasks names none."),
        (["in.jsonl", "-o", "no/out.jsonl"], "no/out.jsonl: the folder 'no' does not exist. Make it first."),
        (["in.jsonl", "-o", "."], ".: is a folder. Name a file in it."),
        (["in.json", "-o", "out.jsonl"], "in.json: no such file."),
        ([".", "-o", "out.jsonl"], ".: the tasks that are asked read no pictures. Name a file of texts."),
        (["in.jsonl", "-o", "out.jsonl", "--batch-size", "0"], "--batch-size"),
    ],
)
def test_wrong_arguments_of_predict_are_one_line(folder, model_folder, args, message):
    write_rows(folder / "in.jsonl", [{"text": "a"}])
    assert message in fails(folder, "predict", model_folder, *args)


def test_errors_keep_their_brackets_and_show_a_traceback_only_on_request(folder, values):
    values["datasets"]["films"]["columns"] = {"[bold]x[/bold]": "text", "label": "opinion"}
    recipe = recipe_file(folder, values)
    assert "no column '[bold]x[/bold]'" in fails(folder, "train", recipe)
    result = CliRunner().invoke(app, ["train", str(recipe), "--debug"])
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
