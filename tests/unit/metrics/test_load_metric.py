"""Metrics by name."""

from pathlib import Path

import evaluate
import pytest

from hf_mtl.metrics import METRICS, Seqeval, load_metric


@pytest.mark.parametrize("name", METRICS)
def test_built_in_names_give_fresh_metrics_without_asking_evaluate(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "load", None)
    first, second = load_metric(name), load_metric(name, keep_in_memory=True)
    assert type(first) is METRICS[name]
    assert first is not second


def test_options_reach_the_metric() -> None:
    metric = load_metric("seqeval", scheme="IOBES", mode="strict")
    assert isinstance(metric, Seqeval)
    assert (metric.scheme, metric.mode) == ("IOBES", "strict")


def test_a_folder_in_the_working_directory_does_not_shadow_a_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "accuracy").mkdir()
    (tmp_path / "accuracy" / "accuracy.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    assert type(load_metric("accuracy")) is METRICS["accuracy"]


def test_other_names_go_to_evaluate_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, object]]] = []
    found = object()

    def load(name: str, **options: object) -> object:
        calls.append((name, options))
        return found

    monkeypatch.setattr(evaluate, "load", load)
    assert load_metric("rouge", seed=1) is found
    load_metric("rouge", keep_in_memory=False)
    assert calls == [("rouge", {"keep_in_memory": True, "seed": 1}), ("rouge", {"keep_in_memory": False})]


@pytest.mark.parametrize("failure", [FileNotFoundError("no script"), ConnectionError("no Hub"), OSError("no disk")])
def test_an_unknown_name_lists_the_built_in_ones_nearest_first(
    failure: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(evaluate, "load", load)
    with pytest.raises(ValueError, match="'acuracy' is not built in") as caught:
        load_metric("acuracy")
    message = str(caught.value)
    assert str(failure) in message
    assert "nearest first: accuracy, " in message
    assert all(name in message for name in METRICS)
    assert "Hub" in message
    assert "./my_metric" in message
    assert caught.value.__cause__ is failure


def test_a_missing_folder_is_refused_without_a_network(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not built in"):
        load_metric(str(tmp_path / "my_metric"))


def test_errors_of_the_metric_itself_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise ImportError("To use rouge, install rouge_score")

    monkeypatch.setattr(evaluate, "load", load)
    with pytest.raises(ImportError, match="rouge_score"):
        load_metric("rouge")
