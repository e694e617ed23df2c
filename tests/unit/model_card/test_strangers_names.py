"""Names of strangers are text in a card: no HTML, no link, no broken table, and no licence that nobody chose."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl import TaskConfig
from hf_mtl.model_card import CardFacts, DatasetFacts, ResultFacts, render_card
from hf_mtl_light.text import cell_text, markdown_text, redacted

NAMES = st.text(
    st.one_of(st.sampled_from("<>&|`[]()!*_\n\\\x1b"), st.characters(codec="utf-8")), min_size=1, max_size=30
)
LIVE = "<img src=x onerror=alert(1)>[a](javascript:b)|c\n<script>"


@given(NAMES)
def test_a_name_is_one_cell_of_text(name):
    for shown in (markdown_text(name), cell_text(name)):
        inner = re.sub(r"^<code>(.*)</code>$", r"\1", shown)
        inner = re.sub(r"&(#\d+|amp|lt|gt);", "", inner)
        assert not set("<>|\n\x1b") & set(inner) or (shown.startswith("`") and not set("<|\n\x1b`") & set(shown[1:-1]))


def test_a_card_holds_nothing_live_of_strangers():
    tasks = [TaskConfig("intent", "sequence-classification", labels=[LIVE, "b"])]
    facts = CardFacts(
        LIVE,
        tasks,
        "bert",
        7,
        {"intent": 1},
        encoder_license="apache-2.0",
        encoder_language=["en"],
        datasets=[DatasetFacts(LIVE, 5, 1.0, ["intent"])],
        results=[ResultFacts("intent", LIVE, "test", "accuracy", 0.5, 10)],
        arguments={"hub_token": "hf_" + "a" * 30, "note": LIVE},
        examples=[(LIVE, {"intent": {"label": LIVE, "score": 1.0}})],
    )
    head, _, body = render_card(facts).partition("\n---\n")[2].partition("\n## Use\n")
    training = body.partition("## Results")[2]
    for text in (head, training):
        prose = re.sub(r"```.*?```|<!--.*?-->|</?code>", "", text, flags=re.DOTALL)
        assert not re.search(r"<\w|\]\(javascript", prose)
    columns = {line.count("|") for line in training.splitlines() if line.startswith("| `intent`")}
    assert columns == {8}
    assert "hf_aaa" not in training
    metadata = render_card(facts).partition("\n---\n")[0]
    assert "license" not in metadata
    assert "language" not in metadata


@pytest.mark.parametrize("name", ["hub_token", "push_to_hub_token", "api_key", "password", "wandb_api_key"])
def test_secrets_are_hidden_by_name_and_by_form(name):
    value = {name: "x1", "deep": [{name: "x2"}], "url": "https://u:x3@h/?access_token=x4", "learning_rate": 1e-4}
    text = str(redacted(value))
    assert not re.search(r"x[1-4]", text)
    assert "0.0001" in text
