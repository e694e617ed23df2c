"""Words and the text that they make are one, whatever the tokenizer's family."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mtl.data import MultiTaskCollator
from hf_mtl_light.answering import AnswerOptions
from hf_mtl_light.answering.tags import TagAnswers
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.encoding import FileTokenizer, Row, WindowEncoder
from tests.tokenizer_families import TOKENIZERS, small_tokenizer

LABELS = ["O", "B-x", "I-x"]
TASK = TaskDescription("tags", "token-classification", "token", "softmax", LABELS, constrained_decoding=False)
KNOWN = "hello New York said don't 北京 😀 Größe naïve a San Francisco , ! ﬁne e\u0301 zebra".split()  # noqa: SIM905
WORDS = st.lists(
    st.sampled_from(KNOWN) | st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=6),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module", params=TOKENIZERS)
def family(request, tmp_path_factory):
    tokenizer = small_tokenizer(request.param)
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.backend_tokenizer.save(str(file))
    return tokenizer, FileTokenizer(file, ("input_ids", "attention_mask"), 0, unk_token_id=1)


@given(words=WORDS)
def test_words_have_the_ids_of_their_text(family, words):
    text = " ".join(words)
    for tokenizer in family:
        given_words, plain = WindowEncoder(tokenizer, 500).encode([Row("x", 0, words), Row("x", 1, text)])
        assert given_words.windows == plain.windows
        assert given_words.words.text == plain.words.text == text
    batch = MultiTaskCollator(family[0], [], {}, 500)
    ids = batch.encode([Row("x", 0, words)])[0]["input_ids"][0].tolist()
    assert ids == given_words.windows[0].ids == family[0](text)["input_ids"]


@given(words=WORDS)
def test_each_token_belongs_to_the_word_it_lies_in(family, words):
    (row,) = WindowEncoder(family[0], 500).encode([Row("x", 0, words)])
    numbers = [number for number in row.words.word_ids if number is not None]
    assert numbers == sorted(numbers)
    tokens = family[0](" ".join(words)).encodings[0]
    for number, (start, end) in zip(row.words.word_ids, tokens.offsets, strict=True):
        piece = row.words.text[start:end]
        if number is not None and piece.strip():
            first, last = row.words.spans[number]
            assert start - first >= -1  # the space before it, at most
            assert start < last
    assert [row.words.text[start:end] for start, end in row.words.spans] == words


@settings(max_examples=8)
@given(words=WORDS, stride=st.integers(0, 3), gap=st.sampled_from([" ", "  ", "\n", " \t"]), data=st.data())
def test_no_entity_has_white_space_at_its_ends(family, words, stride, gap, data):
    raw = gap + gap.join(words) + gap
    rows = [Row("x", 0, words), Row("x", 1, raw), Row("x", 2, raw, "a second text")]
    for row in WindowEncoder(family[0], 14, stride).encode(rows, needs_raw_tokens=True):
        count = len(row.words.word_ids)
        logits = data.draw(st.integers(0, 2**31))
        logits = np.random.default_rng(logits).normal(size=(count, 3))
        for strategy in (None, "none", "simple", "first", "average", "max"):
            options = None if strategy is None else AnswerOptions(aggregation_strategy=strategy)
            for entity in TagAnswers.answers(TASK, logits, [row.words], options)[0]:
                assert entity["word"] == row.words.text[entity["start"] : entity["end"]]
                assert entity["word"]
                assert entity["word"] == entity["word"].strip()


@pytest.mark.parametrize("name", [name for name in TOKENIZERS if name != "characters"])
def test_a_tagger_finds_in_raw_text_what_it_finds_in_its_words(name):
    words = ["hello", "New", "York", "said", "Anna", "in", "San", "Francisco"]
    tags = ["O", "B-x", "I-x", "O", "B-x", "O", "B-x", "I-x"]
    text = " ".join(words)
    found = []
    for row in WindowEncoder(small_tokenizer(name), 500).encode([Row("x", 0, words), Row("x", 1, text)]):
        logits = np.zeros((len(row.words.word_ids), 3))
        for number, place in enumerate(row.words.first_tokens()):
            logits[place, LABELS.index(tags[number])] = 9.0
        found.append(TagAnswers.answers(TASK, logits, [row.words])[0])
        assert row.words.spans == [(s, s + len(w)) for w, s in zip(words, (0, 6, 10, 15, 20, 25, 28, 32), strict=True)]
    assert found[0] == found[1]
    assert [entity["word"] for entity in found[0]] == ["New York", "Anna", "San Francisco"]
