"""A tokenizer from its file alone: rows become the same tokens, windows and words as by Transformers' own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from hf_mtl.data import padding_id
from hf_mtl_light.encoding import FileTokenizer, Row, WindowEncoder
from tests.conftest import make_tokenizer


def byte_level(**kwargs):
    """Return a byte-level BPE tokenizer as GPT-2's: no token types, no mark of continuing pieces, no unknown token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<s>", "</s>", *alphabet, "an", "\u0120b"])}
    backend = Tokenizer(models.BPE(vocabulary, [("a", "n"), ("\u0120", "b")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), add_prefix_space=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        model_input_names=["input_ids", "attention_mask"],
        **kwargs,
    )


def bare():
    """Return a tokenizer that adds no special tokens, so that an empty text has none, and cuts on the left."""
    tokenizer = byte_level(truncation_side="left")
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


MAKERS = {"wordpiece": make_tokenizer, "byte-level": byte_level, "bare": bare}


@pytest.fixture(scope="module", params=MAKERS)
def both(request, tmp_path_factory):
    theirs = MAKERS[request.param]()
    folder = tmp_path_factory.mktemp("tokenizer")
    # As an export leaves it: with the truncation of its last use.
    theirs("a", truncation=True, max_length=8)
    theirs.save_pretrained(folder)
    mine = FileTokenizer(
        folder / "tokenizer.json",
        theirs.model_input_names,
        padding_id(theirs),
        theirs.pad_token_type_id,
        theirs.unk_token_id,
        theirs.truncation_side,
    )
    return mine, theirs


texts = st.text(
    st.sampled_from("abing .\u00e9e\u0301\u4e2d\ufffd\U0001f600\tB") | st.characters(codec="utf-8"), max_size=80
)
rows = st.one_of(
    st.builds(lambda text: Row("made", 0, text), texts),
    st.builds(lambda text, pair: Row("made", 0, text, pair), texts, texts),
    st.builds(lambda words: Row("made", 0, words), st.lists(texts, max_size=8)),
)


@given(
    given_rows=st.lists(rows, min_size=1, max_size=4),
    window=st.sampled_from([(64, None), (9, None), (16, 0), (16, 4), (20, 5)]),
    needs_raw_tokens=st.booleans(),
)
def test_rows_become_the_same_windows_and_words(both, given_rows, window, needs_raw_tokens):
    mine, theirs = (WindowEncoder(tokenizer, *window).encode(given_rows, needs_raw_tokens) for tokenizer in both)
    assert mine == theirs
