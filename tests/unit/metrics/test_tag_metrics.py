"""Metrics of tag sequences against seqeval and scikit-learn on all rows at once."""

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
import seqeval.metrics
import seqeval.scheme
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_precision_recall_fscore_support

from hf_mtl.metrics import METRICS, Seqeval, TagAccuracy
from tests.unit.metrics.metric_cases import assert_same_scores

SCHEMES = ["IOB1", "IOB2", "IOBES"]
PREFIXES = {"IOB1": "IB", "IOB2": "IB", "IOBES": "IBES"}
TYPES = ("PER", "LOC", "a-b", "-x", "x-", "")
# No tags at all, parts of speech and other schemes' letters: seqeval warns and reads them somehow.
STRANGE = ("NN", "VB-x", "L-PER", "U-LOC", "XY")
law = settings(deadline=None, max_examples=60)

Rows = list[list[str]]


def tags_of(prefixes: str) -> list[str]:
    return ["O", *prefixes, *(f"{prefix}-{type_}" for prefix in prefixes for type_ in TYPES)]


def paired_rows(tags: Sequence[str]) -> st.SearchStrategy[list[tuple[list[str], list[str]]]]:
    """Rows whose two sides have one length and often agree, legal sequences or not."""
    tag = st.sampled_from(tags)
    word = st.one_of(tag.map(lambda tag: (tag, tag)), st.tuples(tag, tag))
    row = st.lists(word, min_size=1, max_size=9)
    return st.lists(row.map(lambda words: ([p for p, _ in words], [r for _, r in words])), min_size=1, max_size=6)


def sides(rows: list[tuple[list[str], list[str]]]) -> tuple[Rows, Rows]:
    return [predicted for predicted, _ in rows], [true for _, true in rows]


def reference_scores(predicted: Rows, true: Rows, scheme: str | None) -> dict[str, float]:
    """Scores by seqeval's own functions; strict if a scheme is given."""
    options = {"mode": "strict", "scheme": getattr(seqeval.scheme, scheme)} if scheme else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = {
            "precision": float(seqeval.metrics.precision_score(true, predicted, **options)),
            "recall": float(seqeval.metrics.recall_score(true, predicted, **options)),
            "f1": float(seqeval.metrics.f1_score(true, predicted, **options)),
            "accuracy": float(seqeval.metrics.accuracy_score(true, predicted)),
        }
        if scheme:
            entities = [seqeval.scheme.Entities(rows, options["scheme"]) for rows in (true, predicted)]
            types = sorted(entities[0].unique_tags | entities[1].unique_tags)
            by_type = strict_precision_recall_fscore_support(true, predicted, scheme=options["scheme"])
        else:
            types = sorted({entity[0] for rows in (true, predicted) for entity in get_entities(rows)})
            by_type = precision_recall_fscore_support(true, predicted)
    for type_, *values in zip(types, *by_type, strict=True):
        for name, value in zip(("precision", "recall", "f1", "support"), values, strict=True):
            scores[f"{type_}_{name}"] = float(value)
    return scores


@law
@given(paired_rows([*tags_of("IBES"), *STRANGE]))
def test_default_mode_equals_seqeval(rows: list[tuple[list[str], list[str]]]) -> None:
    predicted, true = sides(rows)
    found = Seqeval().compute(predictions=predicted, references=true)
    assert_same_scores(found, reference_scores(predicted, true, scheme=None))


@pytest.mark.parametrize("scheme", SCHEMES)
@law
@given(data=st.data())
def test_strict_mode_equals_seqeval(scheme: str, data: st.DataObject) -> None:
    predicted, true = sides(data.draw(paired_rows(tags_of(PREFIXES[scheme]))))
    found = Seqeval(scheme=scheme, mode="strict").compute(predictions=predicted, references=true)  # type: ignore[arg-type]
    assert_same_scores(found, reference_scores(predicted, true, scheme=scheme))


def test_modes_differ_on_an_illegal_start() -> None:
    rows = [["O", "I-PER", "I-PER"]]
    assert Seqeval().compute(predictions=rows, references=rows)["f1"] == 1.0
    assert Seqeval(mode="strict").compute(predictions=rows, references=rows)["f1"] == 0.0


def test_rows_do_not_touch() -> None:
    together = Seqeval().compute(predictions=[["B-PER"], ["I-PER"]], references=[["B-PER"], ["I-PER"]])
    assert together["PER_support"] == 2.0


def test_rows_without_words_are_taken_beside_others() -> None:
    scores = Seqeval().compute(predictions=[[], ["B-PER"]], references=[[], ["B-PER"]])
    assert scores["f1"] == 1.0
    for name in ("seqeval", "tag_accuracy"):
        with pytest.raises(ValueError, match="found 2 rows without any"):
            METRICS[name]().compute(predictions=[[], []], references=[[], []])


@law
@given(paired_rows(["DET", "NOUN", "VERB", "1", "-"]))
def test_tag_accuracy_equals_scikit_learn_on_flattened_rows(rows: list[tuple[list[str], list[str]]]) -> None:
    predicted, true = ([tag for row in side for tag in row] for side in sides(rows))
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(true, predicted),
        "f1_macro": sklearn.metrics.f1_score(true, predicted, average="macro", zero_division=0),
    }
    predictions, references = sides(rows)
    assert_same_scores(TagAccuracy().compute(predictions=predictions, references=references), expected)


@pytest.mark.parametrize("name", ["seqeval", "tag_accuracy"])
def test_tuples_and_arrays_are_taken_as_rows(name: str) -> None:
    lists = METRICS[name]().compute(predictions=[["O", "B-PER"]], references=[["O", "O"]])
    others = METRICS[name]().compute(predictions=(("O", "B-PER"),), references=np.array([["O", "O"]]))
    assert others == lists


@pytest.mark.parametrize("name", ["seqeval", "tag_accuracy"])
@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([["O"], ["O", "O"]], "row 2: 2 predicted tags for 1 references"),
        ([["O"], [3]], "row 2: expected tags as non-empty strings in predictions, found 3"),
        ([["O"], [None]], "row 2: expected tags as non-empty strings in predictions, found None"),
        ([["O"], [""]], "row 2: expected tags as non-empty strings in predictions, found ''"),
        (["O", "O"], "row 1: expected a list of tags in predictions, found str 'O'"),
        ([1, 0], "row 1: expected a list of tags in predictions, found int 1"),
        ("OO", "expected predictions as a list of rows, found str 'OO'"),
        ([["O"]], "found 1 for 2"),
    ],
)
def test_what_is_no_tag_row_is_refused(name: str, predictions: object, message: str) -> None:
    metric = METRICS[name]()
    metric.add_batch(predictions=[["O"]], references=[["O"]])
    with pytest.raises(ValueError, match=message):
        metric.add_batch(predictions=predictions, references=[["O"], ["O"]])  # type: ignore[arg-type]
    assert len(metric) == 1


def test_a_tag_outside_the_strict_scheme_is_named_and_changes_nothing() -> None:
    metric = Seqeval(scheme="IOB2", mode="strict")
    metric.add_batch(predictions=[["B-PER"]], references=[["B-PER"]])
    with pytest.raises(ValueError, match="row 2: expected tags that start with one of I, O, B in IOB2, found 'S-PER'"):
        metric.add_batch(predictions=[["O"], ["S-PER"]], references=[["B-PER"], ["O"]])
    assert metric.compute()["f1"] == 1.0


@pytest.mark.parametrize("option", ["scheme", "mode"])
def test_unknown_options_list_the_choices(option: str) -> None:
    with pytest.raises(ValueError, match=rf"expected {option} to be one of \[.*\], found 'BILOU'"):
        Seqeval(**{option: "BILOU"})  # type: ignore[arg-type]
