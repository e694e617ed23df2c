"""Small tokenizers of each family, trained on a few words."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

__all__ = ["TOKENIZERS", "small_tokenizer"]

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_TEXTS = (
    "hello New York said the quick brown fox, don't jump! in San Francisco 42 rooms",
    "Größe naïve façade 北京 東京 😀 good film by Anna in Paris and Rome",
    "hello hello New New York York in in the the of of a an and",
)


def _wordpiece():
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend, trainers.WordPieceTrainer(vocab_size=160, special_tokens=_SPECIAL)


def _byte_level(add_prefix_space=False, trim_offsets=True):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, trim_offsets=trim_offsets)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return backend, trainers.BpeTrainer(vocab_size=320, special_tokens=_SPECIAL, initial_alphabet=alphabet)


def _split_byte_level():  # as Llama 3 and Qwen
    backend = Tokenizer(models.BPE())
    pattern = Regex(r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return backend, trainers.BpeTrainer(vocab_size=320, special_tokens=_SPECIAL, initial_alphabet=alphabet)


def _unigram(prepend_scheme="always", split=True):
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme, split=split)
    return backend, trainers.UnigramTrainer(vocab_size=150, special_tokens=_SPECIAL, unk_token="[UNK]")


def _byte_fallback():  # as Llama 2 and Gemma: no pre-tokenizer, so a whole text is one word
    backend = Tokenizer(models.BPE(unk_token="[UNK]", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.ByteFallback()
    special = [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    return backend, trainers.BpeTrainer(vocab_size=420, special_tokens=special, max_token_length=8)


def _characters():
    backend = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    return backend, trainers.WordLevelTrainer(special_tokens=_SPECIAL)


#: Family -> what makes its untrained tokenizer and its trainer.
TOKENIZERS = {
    "wordpiece": _wordpiece,
    "byte-level": _byte_level,
    "byte-level, prefix space": lambda: _byte_level(add_prefix_space=True),
    "byte-level, untrimmed": lambda: _byte_level(trim_offsets=False),
    "split and byte-level": _split_byte_level,
    "unigram": _unigram,
    "unigram, first alone": lambda: _unigram(prepend_scheme="first"),
    "unigram, unsplit": lambda: _unigram(split=False),
    "byte fallback": _byte_fallback,
    "characters": _characters,
}
#: Those whose tokenizer takes a whole text for one word, and what splits the texts that it is trained on.
_UNSPLIT = {
    "unigram, unsplit": pre_tokenizers.Metaspace(),
    "byte fallback": pre_tokenizers.Split("▁", behavior="merged_with_next"),
}


def small_tokenizer(family):
    """Return a fast tokenizer of a family, with a start, an end and a token for padding."""
    backend, trainer = TOKENIZERS[family]()
    final = backend.pre_tokenizer
    if family in _UNSPLIT:  # their pieces are those of words, as in SentencePiece
        backend.pre_tokenizer = _UNSPLIT[family]
    backend.train_from_iterator(_TEXTS, trainer)
    backend.pre_tokenizer = final if final is not None else pre_tokenizers.Sequence([])
    ends = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    template = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    level = family.startswith("byte-level")
    trim = processors.ByteLevel(trim_offsets="untrimmed" not in family)
    backend.post_processor = processors.Sequence([trim, template]) if level else template
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{f"{name.lower()[1:-1]}_token": name for name in _SPECIAL},
        model_max_length=64,
    )
