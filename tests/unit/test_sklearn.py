"""The estimator: scikit-learn's checks where texts allow them, its searches, and the model's own answers."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils import estimator_checks

from hf_mtl.inference import predict
from hf_mtl.sklearn import MultiTaskEstimator

TEXTS = ["a good film", "a bad film", "not good", "very bad", "good song", "bad song", "good book", "bad book"] * 2
MOODS = ["good", "bad"] * 8
#: The checks that need no matrix of numbers.
CHECKS = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_do_not_raise_errors_in_init_or_set_param",
]


@pytest.fixture(scope="module")
def estimator(encoder_folder):
    arguments = {"max_steps": 2, "use_cpu": True, "precision": "float32"}
    return MultiTaskEstimator(str(encoder_folder), learning_rate=1e-3, batch_size=4, arguments=arguments)


@pytest.mark.parametrize("check", [name for name in CHECKS if hasattr(estimator_checks, name)])
def test_scikit_learns_own_checks_pass(check):
    getattr(estimator_checks, check)("MultiTaskEstimator", MultiTaskEstimator())


def test_one_task_answers_as_its_model_does(estimator):
    fitted = clone(estimator).fit(TEXTS, np.array(MOODS))
    assert fitted.classes_.tolist() == ["bad", "good"]
    found, table = fitted.predict(TEXTS), fitted.predict_proba(TEXTS)
    assert table.sum(1) == pytest.approx(np.ones(len(TEXTS)))
    assert found.tolist() == fitted.classes_[table.argmax(1)].tolist()
    own = [answer["label"]["label"] for answer in predict(fitted.model_, fitted.tokenizer_, TEXTS)]
    assert found.tolist() == own
    assert fitted.score(TEXTS, MOODS) == np.mean(found == np.array(MOODS))
    again = clone(estimator).fit(TEXTS, MOODS)
    assert np.array_equal(again.predict_proba(TEXTS), table)


def test_several_tasks_of_every_kind_are_columns(estimator):
    y = pd.DataFrame({"mood": MOODS, "stars": [1, 5] * 8, "size": np.linspace(0, 1, 16)})
    y["more"] = [["song", "good"] if "song" in text else ["book"] for text in TEXTS]
    fitted = clone(estimator).fit(TEXTS, y)
    found = fitted.predict(TEXTS)
    assert list(found) == list(y)
    assert found["stars"].dtype == y["stars"].dtype
    assert set(found["stars"]) <= {1, 5}
    assert {name: table.shape for name, table in fitted.predict_proba(TEXTS).items()} == {
        "mood": (16, 2),
        "stars": (16, 2),
        "more": (16, 3),
    }
    scores = fitted.task_scores(TEXTS, y)
    assert list(scores) == list(y)
    assert fitted.score(TEXTS, y) == pytest.approx(np.mean(list(scores.values())))


def test_pairs_of_texts_are_taken(estimator):
    pairs = [(text, text[::-1]) for text in TEXTS]
    assert clone(estimator).fit(pairs, MOODS).predict(pairs[:3]).shape == (3,)


def test_searches_and_cross_validation_run_on_lists_of_texts(estimator):
    assert cross_val_score(clone(estimator), TEXTS, MOODS, cv=2).shape == (2,)
    search = GridSearchCV(clone(estimator), {"learning_rate": [1e-4, 1e-3]}, cv=2, scoring="neg_log_loss")
    search.fit(TEXTS, MOODS)
    assert search.best_params_["learning_rate"] in (1e-4, 1e-3)
    assert search.predict(TEXTS[:2]).shape == (2,)


def test_what_cannot_be_learned_is_refused(estimator):
    with pytest.raises(NotFittedError):
        clone(estimator).predict(TEXTS)
    for texts, values, words in (
        (TEXTS, MOODS[:3], "3 values for 16 texts"),
        ("a text", ["a"], "must be a list of texts"),
        ([1, 2], ["a", "b"], "row 0: found int"),
        (TEXTS, ["good"] * 16, "found the class 'good' alone"),
        (TEXTS, None, "y is missing"),
    ):
        with pytest.raises(ValueError, match=words):
            clone(estimator).fit(texts, values)
    numbers = clone(estimator).fit(TEXTS, np.linspace(0, 1, 16))
    with pytest.raises(ValueError, match="no probabilities"):
        numbers.predict_proba(TEXTS)
