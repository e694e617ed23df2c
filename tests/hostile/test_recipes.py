"""Recipes with every kind of wrong value at every key, YAML that is none, bombs, and paths that lead nowhere."""

import pytest

from hf_mtl.recipe import Recipe
from tests.hostile.judge import RIGHT
from tests.unit.recipe.recipe_files import write_recipe

JUNK = {
    "null": None,
    "a number": 3,
    "a fraction": 0.5,
    "negative": -7,
    "true": True,
    "NaN": float("nan"),
    "empty text": "",
    "text": "nobody",
    "a NUL": "a\0b",
    "a list": ["nobody"],
    "an object": {"nobody": 1},
    "nested": [[{"a": []}]],
}
KEYS = (
    "encoder",
    "datasets",
    "datasets.films",
    "datasets.films.load",
    "datasets.films.load.path",
    "datasets.films.load.data_files",
    "datasets.films.columns",
    "datasets.films.columns.sentence",
    "datasets.films.train",
    "datasets.films.validation_size",
    "tasks",
    "tasks.opinion",
    "tasks.opinion.type",
    "tasks.opinion.labels",
    "tasks.opinion.options",
    "tasks.opinion.metrics",
    "tasks.opinion.weight",
    "training",
    "training.output_dir",
    "training.learning_rate",
    "training.max_steps",
    "training.per_device_train_batch_size",
    "training.eval_strategy",
    "sampling",
)
#: Key and value that mean something, or mean the default.
FINE = {
    ("datasets.films.train", "null"),
    ("datasets.films.train", "empty text"),
    ("datasets.films.validation_size", "a number"),
    ("datasets.films.validation_size", "a fraction"),
    ("tasks.opinion.options", "null"),
    ("tasks.opinion.metrics", "null"),
    *((key, name) for key in ("tasks.opinion.weight", "training.learning_rate") for name in ("a number", "a fraction")),
    *(("training.output_dir", name) for name in ("null", "empty text", "text")),
    *(("training.max_steps", name) for name in ("a number", "negative")),
    ("training.per_device_train_batch_size", "a number"),
    ("sampling", "null"),
}
CASES = {f"{key} is {name}": (key, name) for key in KEYS for name in JUNK}


def change(values, key, value):
    *parents, last = key.split(".")
    for parent in parents:
        values = values[parent]
    values[last] = value


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_value_is_named_by_its_key(folder, judge, values, case):
    key, name = CASES[case]
    change(values, key, JUNK[name])
    write_recipe(folder, values)
    says = RIGHT if (key, name) in FINE else r"^recipe\.yaml|opinion|run|output_dir"
    judge.command(["train", "recipe.yaml", "--dry-run"], says)


#: YAML -> what the line says.
TEXTS = {
    "nothing": (b"", "recipe.yaml"),
    "a comment": (b"# nothing\n", "recipe.yaml"),
    "a word": (b"encoder\n", "recipe.yaml"),
    "a list": (b"- encoder\n", "recipe.yaml"),
    "a date": (b"2020-01-01\n", "recipe.yaml"),
    "tabs": (b"encoder: a\n\tdatasets: b\n", "recipe.yaml"),
    "an open bracket": (b"encoder: [\n", "recipe.yaml"),
    "an open quote": (b'encoder: "a\n', "recipe.yaml"),
    "two documents": (b"encoder: a\n---\nencoder: b\n", "recipe.yaml"),
    "a key twice": (b"encoder: a\nencoder: b\n", "recipe.yaml.*'encoder' occurs twice"),
    "a key that is a number": (b"1: a\n", "recipe.yaml"),
    "a key that is a list": (b"[a, b]: c\n", "recipe.yaml"),
    "a key that is null": (b"null: c\n", "recipe.yaml"),
    "a key that is NaN": (b".nan: c\n", "recipe.yaml"),
    "a tag of Python": (b"encoder: !!python/object/apply:os.system [ls]\n", "recipe.yaml"),
    "an unknown tag": (b"encoder: !x a\n", "recipe.yaml"),
    "an unknown alias": (b"encoder: *a\n", "recipe.yaml"),
    "an alias of itself": (b"encoder: &a [*a]\n", "recipe.yaml"),
    "a bomb of aliases": (
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 110)),
        "recipe.yaml",
    ),
    "a bomb of brackets": (b"encoder: " + b"[" * 50_000, "recipe.yaml"),
    "a bomb of mappings": (b"".join(b" " * n + b"a:\n" for n in range(2000)), "recipe.yaml"),
    "a number of many digits": (b"encoder: a\ndatasets: " + b"9" * 10_000, "recipe.yaml"),
    "NULs": (bytes(100), "recipe.yaml"),
    "latin-1": ("encoder: caf\u00e9\n".encode("latin-1"), "recipe.yaml"),
    "half utf-16": ("encoder: a".encode("utf-16")[:-1], "recipe.yaml"),
    "escape sequences": (b'encoder: "\\e[2J"\ndatasets: {a: {}}\n', "recipe.yaml"),
    "merge keys": (b"x: &x {encoder: a}\n<<: *x\n", "recipe.yaml"),
}


@pytest.mark.parametrize("command", ["train", "data"])
@pytest.mark.parametrize("case", TEXTS)
def test_yaml_that_is_no_recipe_is_named(folder, judge, case, command):
    text, says = TEXTS[case]
    (folder / "recipe.yaml").write_bytes(text)
    judge.command([command, "recipe.yaml"], says)


#: A change of the recipe -> what the line says.
SLIPS = {
    "a typo in encoder": (lambda v: v.update(encodr=v.pop("encoder")), "Did you mean 'encoder'"),
    "a typo in datasets": (lambda v: v.update(dataset=v.pop("datasets")), "Did you mean 'datasets'"),
    "a typo in tasks": (lambda v: v.update(task=v.pop("tasks")), "Did you mean 'tasks'"),
    "a typo in training": (lambda v: v.update(trainig=v.pop("training")), "Did you mean 'training'"),
    "a typo in a column": (
        lambda v: change(v, "datasets.films.columns", {"sentenc": "text", "label": "opinion"}),
        "Did you mean 'sentence'",
    ),
    "a column for two things": (
        lambda v: change(v, "datasets.films.columns", {"sentence": "text", "label": "text"}),
        "datasets.films.columns",
    ),
    "a task named text": (
        lambda v: (change(v, "datasets.films.columns.label", "tokens"), v.update(tasks={})),
        "datasets.films.columns",
    ),
    "an encoder that is a file": (lambda v: v.update(encoder="films.jsonl"), "encoder"),
    "an encoder above the root": (lambda v: v.update(encoder="../" * 50 + "nowhere"), "encoder"),
    "an encoder with a scheme": (lambda v: v.update(encoder="http://x/y"), "encoder"),
    "data that are a folder": (lambda v: change(v, "datasets.films.load.data_files", "model"), "datasets.films.load"),
    "data that are a script": (lambda v: change(v, "datasets.films.load.path", "./x.py"), "datasets.films.load"),
    "data that are a pattern": (lambda v: change(v, "datasets.films.load.data_files", "*.nope"), "datasets.films.load"),
    "a label twice": (lambda v: change(v, "tasks.opinion.labels", ["neg", "neg"]), "opinion.*neg"),
    "labels in another case": (lambda v: change(v, "tasks.opinion.labels", ["Neg", "Pos"]), "opinion.*[Nn]eg"),
    "a learning rate of infinity": (lambda v: change(v, "training.learning_rate", float("inf")), "learning_rate"),
    "a negative learning rate": (lambda v: change(v, "training.learning_rate", -1.0), "learning_rate"),
    "batches of half a row": (lambda v: change(v, "training.per_device_train_batch_size", 0.5), "batch_size"),
    "sampling by nobody": (lambda v: v.update(sampling={"strategy": "nobody"}), "sampling.*nobody"),
    "balancing by nobody": (lambda v: change(v, "training.balancing", "nobody"), "balancing.*nobody"),
    "half of 16 bits on nothing": (lambda v: change(v, "training.precision", "float17"), "precision.*float17"),
    "a run in a file": (lambda v: change(v, "training.output_dir", "films.jsonl"), "output_dir"),
    "a run below a file": (lambda v: change(v, "training.output_dir", "films.jsonl/run"), "output_dir|films.jsonl"),
}


@pytest.mark.parametrize("case", SLIPS)
def test_a_slip_of_the_pen_is_named(folder, judge, values, case):
    slip, says = SLIPS[case]
    slip(values)
    write_recipe(folder, values)
    judge.command(["train", "recipe.yaml", "--dry-run"], says)


PATHS = {
    "a folder": "model",
    "nothing": "nothing.yaml",
    "a file of rows": "films.jsonl",
    "weights": "model/model.safetensors",
    "below a file": "films.jsonl/recipe.yaml",
    "a very long name": "x" * 300 + ".yaml",
    "a device": "/dev/null",
    "empty": "",
}


@pytest.mark.parametrize("command", ["train", "data"])
@pytest.mark.parametrize("case", PATHS)
def test_a_path_that_is_no_recipe_is_named(folder, judge, case, command):
    judge.command([command, PATHS[case]], "")


@pytest.mark.parametrize("case", PATHS)
def test_python_says_the_same_of_a_path(folder, judge, case):
    judge.python(lambda: Recipe.load(PATHS[case]), "")
