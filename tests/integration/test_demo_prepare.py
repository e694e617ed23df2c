"""The demo's data: examples/demo/prepare.py on archives made here, in the real ones' formats."""

import hashlib
import importlib.util
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, List, Value

SCRIPT = Path(__file__).parents[2] / "examples" / "demo" / "prepare.py"


def _load_script():
    spec = importlib.util.spec_from_file_location("demo_prepare", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look up the annotations of the class they are made from.
    sys.modules["demo_prepare"] = module
    spec.loader.exec_module(module)
    return module


demo = _load_script()

OPENINGS = ["The phone", "My film", "This vote", "Our dinner"]
ADDRESSES = """<AddressCollection>
  <AddressString><AddressNumber>60</AddressNumber> <StreetName>Walton</StreetName> <StreetNamePostType>St.,</StreetNamePostType> <PlaceName>Los</PlaceName> <PlaceName>Osos
</PlaceName></AddressString>
  <AddressString><Recipient>PURI,</Recipient> <Recipient>INC.,</Recipient> <NotAddress>(east</NotAddress> <NotAddress>side)</NotAddress> <StateName>GA</StateName></AddressString>
</AddressCollection>"""  # noqa: E501 - one address a line, as in the real file


def _pack(path, members):
    """Write a tar.gz whose members are given as name: bytes."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def _source_of(path, name, version):
    return demo.Source(name, version, hashlib.sha256(path.read_bytes()).hexdigest())


def _pack_vader(folder, lines_by_domain):
    folder.mkdir(parents=True, exist_ok=True)
    resources = {
        f"hutto_ICWSM_2014/{filename}": "".join(f"{line}\r\n" for line in lines_by_domain.get(domain, [])).encode()
        for domain, filename in demo.DOMAIN_FILES.items()
    }
    inner = _pack(folder / "inner.tar.gz", resources).read_bytes()
    (folder / "inner.tar.gz").unlink()
    members = {"vaderSentiment-0.0/additional_resources/hutto_ICWSM_2014.tar.gz": inner}
    return _pack(folder / "vaderSentiment-0.0.tar.gz", members)


def _pack_usaddress(folder, xml):
    folder.mkdir(parents=True, exist_ok=True)
    return _pack(folder / "usaddress-0.0.tar.gz", {"usaddress-0.0/training/labeled.xml": xml.encode()})


def _address_xml(count):
    rows = (
        f"<AddressString><AddressNumber>{i}</AddressNumber> <StreetName>Oak</StreetName></AddressString>"
        for i in range(count)
    )
    return f"<AddressCollection>{''.join(rows)}</AddressCollection>"


@pytest.fixture
def encoder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for filename in demo.ENCODER_FILES:
        (folder / filename).write_text(filename)
    return folder


@pytest.fixture
def sources(tmp_path):
    """Archives of 400 snippets and 120 addresses in ``tmp_path / "data" / "downloads"``, and their sources."""
    downloads = tmp_path / "data" / "downloads"
    lines = {
        domain: [f"{i}\t{(i % 5) - 2}\t{OPENINGS[i % 4]} number {i} of {domain}." for i in range(100)]
        for domain in demo.DOMAIN_FILES
    }
    vader = _pack_vader(downloads, lines)
    usaddress = _pack_usaddress(downloads, _address_xml(120))
    return _source_of(vader, "vaderSentiment", "0.0"), _source_of(usaddress, "usaddress", "0.0")


def _digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.parquet")}


def _rows(folder, name, split):
    return Dataset.from_parquet(str(folder / f"{name}-{split}.parquet"), cache_dir=str(folder / "cache"))


def test_snippets_are_read_with_score_cut_and_entities_resolved(tmp_path):
    archive = _pack_vader(
        tmp_path,
        {
            "product_review": ["1_1\t-0.5\tno  picture ", "1_2\t0.49\tQ&amp;A"],
            "tweet": ['7\t2.5\t"LMAO" said\u00e9'],
        },
    )
    assert list(demo.read_snippets(archive)) == [
        demo.Snippet("no picture", "negative", "product_review"),
        demo.Snippet("Q&A", "neutral", "product_review"),
        demo.Snippet('"LMAO" said\u00e9', "positive", "tweet"),
    ]


def test_a_line_of_another_shape_is_named(tmp_path):
    archive = _pack_vader(tmp_path, {"tweet": ["1\t0.5\tfine", "2\tno score"]})
    with pytest.raises(ValueError, match=r"tweets_GroundTruth.txt, line 2: expected id, score, text; found '2"):
        list(demo.read_snippets(archive))


def test_addresses_become_iob2_with_marks_as_tokens(tmp_path):
    first, second = demo.read_addresses(_pack_usaddress(tmp_path, ADDRESSES))
    assert list(zip(first.tokens, first.tags, strict=True)) == [
        ("60", "B-AddressNumber"),
        ("Walton", "B-StreetName"),
        ("St.", "B-StreetNamePostType"),
        (",", "O"),
        ("Los", "B-PlaceName"),
        ("Osos", "I-PlaceName"),
    ]
    # The comma inside the recipient's name belongs to it; the one behind it does not.
    assert list(zip(second.tokens, second.tags, strict=True)) == [
        ("PURI", "B-Recipient"),
        (",", "I-Recipient"),
        ("INC.", "I-Recipient"),
        (",", "O"),
        ("(", "O"),
        ("east", "O"),
        ("side", "O"),
        (")", "O"),
        ("GA", "B-StateName"),
    ]


def test_no_text_occurs_in_two_splits():
    texts = [f"text {i}" for i in range(500)]
    twice = [demo.Snippet(text, "neutral", "tweet") for text in texts + [f" {text.upper()} " for text in texts]]
    splits = demo.split_rows(twice)
    assert sum(len(rows) for rows in splits.values()) == 500
    assert {demo.normalise(row.text) for rows in splits.values() for row in rows} == set(texts)
    assert 350 < len(splits["train"]) < 450
    assert len(splits["validation"]) > 25
    assert len(splits["test"]) > 25


def test_splits_do_not_depend_on_the_order_of_the_rows():
    rows = [demo.Snippet(f"text {i}", "neutral", "tweet") for i in range(100)]
    assert demo.split_rows(rows) == demo.split_rows(rows[::-1])


def test_rows_with_tags_that_train_lacks_move_to_train():
    common, rare = demo.TaggedText(("1",), ("B-A",)), demo.TaggedText(("2",), ("B-Rare",))
    splits = demo.keep_tags_known({"train": [common], "validation": [common, rare], "test": [rare, common]})
    # Once validation's rare row is in train, test may keep its own.
    assert splits == {"train": [common, rare], "validation": [common], "test": [rare, common]}


def test_mixing_keeps_every_address_and_tags_sentences_outside():
    addresses = [demo.TaggedText((str(i), "Oak"), ("B-AddressNumber", "B-StreetName")) for i in range(200)]
    mixed = demo.mix_with_sentences(addresses, (f"so fine, number{i}" for i in range(200)))
    inside = [[token for token, tag in zip(row.tokens, row.tags, strict=True) if tag != "O"] for row in mixed]
    assert [tokens for tokens in inside if tokens] == [list(address.tokens) for address in addresses]
    assert 25 < inside.count([]) < 75
    assert 75 < sum(len(row.tokens) > 4 for row in mixed) < 125


def test_mixing_without_sentences_changes_nothing():
    addresses = [demo.TaggedText((str(i),), ("B-AddressNumber",)) for i in range(9)]
    assert demo.mix_with_sentences(addresses, []) == addresses


def test_files_hold_the_promised_columns(tmp_path, sources, encoder):
    folder = tmp_path / "data"
    assert demo.prepare(folder, *sources, train_rows=50, eval_rows=20, encoder=encoder)
    sentiment = ClassLabel(names=["negative", "neutral", "positive"])
    domain = ClassLabel(names=["product_review", "movie_review", "news_editorial", "tweet"])
    seen = []
    for split, rows in {"train": 50, "validation": 20, "test": 20}.items():
        vader, address = _rows(folder, "vader", split), _rows(folder, "address", split)
        assert vader.features == {"text": Value("string"), "sentiment": sentiment, "domain": domain}
        assert address.features == {"tokens": List(Value("string")), "address": List(Value("string"))}
        assert len(vader) == rows
        assert all(len(row["tokens"]) == len(row["address"]) > 0 for row in address)
        seen.append({*vader["text"], *(" ".join(tokens) for tokens in address["tokens"])})
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    assert {path.name for path in (folder / "encoder").iterdir()} == set(demo.ENCODER_FILES)


def test_the_same_sources_give_the_same_bytes(tmp_path, sources, encoder):
    folders = [tmp_path / "data", tmp_path / "again"]
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "downloads").symlink_to(tmp_path / "data" / "downloads")
    for folder in folders:
        demo.prepare(folder, *sources, train_rows=50, eval_rows=20, encoder=encoder)
    first, second = map(_digests, folders)
    assert len(first) == 6
    assert first == second


def test_what_is_there_is_not_made_again(tmp_path, sources, encoder):
    folder = tmp_path / "data"
    options = {"train_rows": 50, "eval_rows": 20, "encoder": encoder}
    assert demo.prepare(folder, *sources, **options)
    before = _digests(folder)
    assert not demo.prepare(folder, *sources, **options)
    (folder / "vader-test.parquet").write_bytes(b"damaged")
    assert demo.prepare(folder, *sources, **options)
    assert _digests(folder) == before
    assert demo.prepare(folder, *sources, **{**options, "train_rows": 40})
    (folder / "manifest.json").write_text("[")
    assert demo.prepare(folder, *sources, **options)
    assert set(json.loads((folder / "manifest.json").read_text())["files"]) >= set(before)


def test_a_wrong_download_is_refused_and_named(tmp_path, sources, encoder):
    vader, usaddress = sources
    archive = tmp_path / "data" / "downloads" / usaddress.filename
    archive.write_bytes(b"something else")
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(ValueError, match=usaddress.filename) as error:
        demo.prepare(tmp_path / "data", vader, usaddress, train_rows=50, eval_rows=20, encoder=encoder)
    for part in (f"expected SHA-256 {usaddress.sha256}", f"found {found}", "delete it and run prepare.py again"):
        assert part in str(error.value)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["downloads"]


def test_nothing_half_written_stays_when_a_step_fails(tmp_path, sources, encoder):
    folder = tmp_path / "data"
    (encoder / "vocab.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"vocab\.txt"):
        demo.prepare(folder, *sources, train_rows=50, eval_rows=20, encoder=encoder)
    assert [path.name for path in folder.iterdir()] == ["downloads"]


def test_a_download_goes_through_pip_with_the_digest(tmp_path, monkeypatch):
    source = demo.Source("usaddress", "0.0", hashlib.sha256(b"archive").hexdigest())
    commands = []

    def download(command, **_):
        commands.append(command)
        requirement = Path(command[command.index("--requirement") + 1]).read_text()
        assert requirement == f"usaddress==0.0 --hash=sha256:{source.sha256}\n"
        Path(command[command.index("--dest") + 1], source.filename).write_bytes(b"archive")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", download)
    archive = demo.fetch(source, tmp_path / "downloads")
    assert archive.read_bytes() == b"archive"
    assert [path.name for path in archive.parent.iterdir()] == [source.filename]
    assert commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert "--require-hashes" in commands[0]
    demo.fetch(source, tmp_path / "downloads")
    assert len(commands) == 1


def test_what_pip_says_is_passed_on(tmp_path, monkeypatch):
    source = demo.Source("usaddress", "0.0", "0" * 64)
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no such release\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match=r"could not download usaddress-0\.0\.tar\.gz(.|\n)*no such release"):
        demo.fetch(source, tmp_path / "downloads")
    assert list((tmp_path / "downloads").iterdir()) == []
