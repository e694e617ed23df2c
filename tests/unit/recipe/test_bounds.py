"""What would hang or fill memory ends in one line."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_mtl.recipe import Recipe, RecipeError

WIDE = 20_000


def write_wide(folder, kind):
    path = folder / f"wide.{kind}"
    names = ["text", *(f"c{i}" for i in range(WIDE - 1))]
    if kind == "csv":
        path.write_text(f"{','.join(names)}\n{','.join(['x'] * WIDE)}\n")
    elif kind == "json":
        path.write_text(json.dumps(dict.fromkeys(names, "x")) + "\n")
    else:
        pq.write_table(pa.table({name: ["x"] for name in names}), path)
    return path.name


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_a_file_of_very_many_columns_is_not_loaded(values, folder, kind):
    load = {"path": kind, "data_files": write_wide(folder, kind)}
    values["datasets"] = {"d": {"load": load, "columns": {"text": "text", "c1": "y"}}}
    values["tasks"] = {}
    with pytest.raises(RecipeError, match=r"datasets\.d\.load: 'wide\..*' has 20,000 columns, and at most 10,000"):
        Recipe.from_dict(values).prepare()


def test_columns_that_are_asked_for_are_loaded_from_a_wide_file(values, folder):
    (folder / "wide.csv").write_text(
        ",".join(["text", *(f"c{i}" for i in range(WIDE))])
        + "\n"
        + f"one,a{',x' * (WIDE - 1)}\ntwo,b{',x' * (WIDE - 1)}\n" * 4
    )
    load = {"path": "csv", "data_files": "wide.csv", "usecols": ["text", "c0"]}
    values["datasets"] = {"d": {"load": load, "columns": {"text": "text", "c0": "y"}}}
    values["tasks"] = {}
    assert Recipe.from_dict(values).prepare().tasks[0].labels == ("a", "b")


def test_a_recipe_that_maps_very_many_columns_is_refused(values):
    columns = {"text": "text", **{f"c{i}": f"t{i}" for i in range(100_000)}}
    values["datasets"]["films"]["columns"] = columns
    with pytest.raises(RecipeError, match=r"datasets\.films\.columns: 100,001 columns are mapped, and at most 1,100"):
        Recipe.from_dict(values)
