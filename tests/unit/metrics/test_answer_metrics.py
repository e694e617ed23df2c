"""Exact match and F1 of answers, against SQuAD's evaluation written out."""

import collections
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl.metrics import Squad

WORDS = st.sampled_from(
    ["the", "a", "An", "Film", "film,", "film", "U.S.", "us", "1 000", "-", "", "caf\u00e9", "thea"]
)
TEXTS = st.lists(WORDS, max_size=4).map(" ".join)


def normalize_answer(text):
    text = text.lower()
    text = "".join(c for c in text if c not in set(string.punctuation))
    text = re.sub(r"\b(a|an|the)\b", " ", text)
    return " ".join(text.split())


def f1_of(gold, predicted):
    gold_tokens, tokens = normalize_answer(gold).split(), normalize_answer(predicted).split()
    common = collections.Counter(gold_tokens) & collections.Counter(tokens)
    if len(gold_tokens) == 0 or len(tokens) == 0:
        return int(gold_tokens == tokens)
    same = sum(common.values())
    if same == 0:
        return 0
    precision, recall = same / len(tokens), same / len(gold_tokens)
    return 2 * precision * recall / (precision + recall)


def official(predictions, references):
    """Return the scores of SQuAD 2.0's script, as fractions."""
    exact, f1 = [], []
    for predicted, answers in zip(predictions, references, strict=True):
        gold = [a for a in answers if normalize_answer(a)] or [""]
        exact.append(max(int(normalize_answer(a) == normalize_answer(predicted)) for a in gold))
        f1.append(max(f1_of(a, predicted) for a in gold))
    scores = {"exact_match": sum(exact) / len(exact), "f1": sum(f1) / len(f1)}
    kinds = {
        name: [i for i, r in enumerate(references) if any(r) == has] for name, has in (("has", True), ("no", False))
    }
    if kinds["has"] and kinds["no"]:
        for name, rows in kinds.items():
            scores[f"{name}_answer_exact_match"] = sum(exact[i] for i in rows) / len(rows)
            scores[f"{name}_answer_f1"] = sum(f1[i] for i in rows) / len(rows)
    return scores


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=3)), min_size=1, max_size=12))
def test_scores_are_those_of_the_official_script(rows):
    predictions, references = [list(side) for side in zip(*rows, strict=True)]
    found = Squad().compute(predictions=predictions, references=references)
    expected = official(predictions, references)
    assert expected.pop("no_answer_f1", None) == expected.get("no_answer_exact_match")
    assert found == pytest.approx(expected)


def test_golden_values():
    """Counted by hand: an exact one but for article, case and point; two of three words; none where there is one."""
    predictions = ["The Nile.", "very old film", "", "Rome", ""]
    references = [["nile", "the river"], ["old film"], ["Paris"], [], []]
    assert Squad().compute(predictions=predictions, references=references) == pytest.approx(
        {
            "exact_match": 2 / 5,
            "f1": (1 + 0.8 + 0 + 0 + 1) / 5,
            "has_answer_exact_match": 1 / 3,
            "has_answer_f1": 1.8 / 3,
            "no_answer_exact_match": 1 / 2,
        }
    )


@pytest.mark.parametrize(
    ("predictions", "references", "words"),
    [
        (["a"], [["a"], []], "1 predictions for 2 references"),
        ([3], [["a"]], "row 0: expected a text.*found '3' in predictions"),
        (["a"], [7], "row 0: expected a text.*found '7' in references"),
        ("a", [["a"]], "expected predictions as a list"),
    ],
)
def test_wrong_inputs_are_named(predictions, references, words):
    with pytest.raises(ValueError, match=words):
        Squad().compute(predictions=predictions, references=references)
