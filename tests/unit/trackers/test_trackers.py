"""What trackers of experiments are given: losses and metrics by task, read back from their files."""

import re

import pytest

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments
from tests.encoders import tiny_encoder
from tests.trainers import TASKS, make_data

#: Reads the scalars of a training back from a folder: name -> [(step, value)].
READERS = {}


def reader(name):
    def add(function):
        READERS[name] = function
        return function

    return add


@reader("tensorboard")
def of_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {name: [(one.step, one.value) for one in events.Scalars(name)] for name in events.Tags()["scalars"]}


@reader("trackio")
def of_trackio(folder):
    from trackio.sqlite_storage import SQLiteStorage

    found = {}
    for row in SQLiteStorage.get_logs("tasks", "first"):
        for name, value in row.items():
            found.setdefault(name, []).append((row.get("train/global_step"), value))
    return found


@reader("mlflow")
def of_mlflow(folder):
    from mlflow import MlflowClient

    client = MlflowClient()
    [experiment] = [own for own in client.search_experiments() if own.name == "tasks"]
    [run] = client.search_runs([experiment.experiment_id])
    return {
        # MLflow keeps the trainer's own names, whose prefixes are folders as well.
        name if name.startswith(("eval_", "train_")) else f"train/{name}": [
            (one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)
        ]
        for name in run.data.metrics
    }


@reader("wandb")
def of_wandb(folder):
    """Return the names alone: W&B has no reader of the file that it uploads later."""
    import wandb

    wandb.teardown()  # its service writes the rest of the file
    [path] = folder.glob("wandb/offline-run-*/run-*.wandb")
    return dict.fromkeys(name.decode() for name in set(re.findall(rb"(?:train|eval)/[\w/]+", path.read_bytes())))


@pytest.mark.parametrize("name", READERS)
def test_losses_and_metrics_of_each_task_arrive(name, tmp_path, monkeypatch, tokenizer):
    monkeypatch.chdir(tmp_path)
    for variable, value in {
        "TENSORBOARD_LOGGING_DIR": tmp_path / "tensorboard",
        "TRACKIO_DIR": tmp_path / "trackio",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "MLFLOW_EXPERIMENT_NAME": "tasks",
        "WANDB_MODE": "offline",
        "WANDB_DIR": tmp_path,
    }.items():
        monkeypatch.setenv(variable, str(value))  # trackio reads its own when it is imported
    pytest.importorskip(name, reason="make test-trackers runs it, in an environment with the trackers")
    arguments = MultiTaskTrainingArguments(
        str(tmp_path / "out"),
        max_steps=4,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="no",
        report_to=[name],
        project="tasks",
        run_name="first",
        use_cpu=True,
        disable_tqdm=True,
    )
    data = make_data()
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
    trainer = MultiTaskTrainer(model, arguments, data, data, tokenizer)
    trainer.train()
    found = READERS[name](tmp_path)
    logged = [row for row in trainer.state.log_history if "loss" in row]
    for task in TASKS:
        # One group of the page for each kind, the task last.
        expected = [(row["step"], row[f"loss/{task.name}"]) for row in logged if f"loss/{task.name}" in row]
        assert expected
        values = found[f"train/loss/{task.name}"]
        assert values is None or values == [(step, pytest.approx(value)) for step, value in expected]
        of_evaluation = [key for key in found if key.replace("eval/", "eval_").startswith(f"eval_{task.name}_")]
        assert len(of_evaluation) > 1, sorted(found)
    assert any(key.replace("eval/", "eval_") == "eval_score" for key in found)


def test_an_exported_folder_is_a_model_of_mlflow(tmp_path, monkeypatch, tokenizer):
    mlflow = pytest.importorskip("mlflow", reason="make test-trackers runs it, in an environment with the trackers")
    pandas = pytest.importorskip("pandas")
    from hf_mtl import OnnxPredictor
    from hf_mtl.export import export_onnx
    from tests.unit.export.test_onnx import make

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    export_onnx(make(), tokenizer, tmp_path / "exported")
    mlflow.set_experiment("exported")  # that of another database may be the active one
    with mlflow.start_run():
        logged = mlflow.pyfunc.log_model(
            name="assistant",
            loader_module="hf_mtl_light.mlflow",
            data_path=str(tmp_path / "exported"),
            pip_requirements=["hf-mtl-light[onnx]"],
        )
    loaded = mlflow.pyfunc.load_model(logged.model_uri)
    expected = OnnxPredictor(tmp_path / "exported")(["a good film", "not very good"])
    assert loaded.predict(pandas.DataFrame({"text": ["a good film", "not very good"]})) == expected
    assert loaded.predict(["a good film", "not very good"]) == expected
