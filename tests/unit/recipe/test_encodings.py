"""A file in another encoding is named with what to set, whatever its ending and wherever the wrong byte lies."""

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import pytest

from hf_mtl.recipe import RecipeError
from hf_mtl.recipe._load import load_source
from hf_mtl.recipe._schema import DatasetRecipe

COLUMNS = {"text": "text", "label": "mood"}
ROWS = {
    "csv": ["text,label", *(f"film {i},a" for i in range(3)), "caf\u00e9,a"],
    "json": ['{"text": "film", "label": "a"}', '{"text": "caf\u00e9", "label": "a"}'],
    "text": ["film", "caf\u00e9"],
}


def zipped(data):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("rows", data)
    return stream.getvalue()


PACKED = {"": bytes, ".dat": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zip": zipped}


def load(kind, names, **more):
    columns = {"text": "text"} if kind == "text" else COLUMNS
    source = DatasetRecipe(load={"path": kind, "data_files": names, **more}, columns=columns)
    return load_source("films", source, Path.cwd())


@pytest.mark.parametrize("ending", PACKED)
@pytest.mark.parametrize("kind", ROWS)
def test_the_file_and_the_key_are_named(folder, kind, ending):
    good, wrong = f"good.{kind}{ending}", f"wrong.{kind}{ending}"
    text = "\n".join(ROWS[kind]) + "\n"
    (folder / good).write_bytes(PACKED[ending](text.replace("\u00e9", "e").encode()))
    (folder / wrong).write_bytes(PACKED[ending](text.encode("latin-1")))
    with pytest.raises(RecipeError) as caught:
        load(kind, [good, wrong])
    message = str(caught.value)
    assert message.startswith("datasets.films.load: ")
    assert wrong in message
    assert ending == ".zip" or good not in message
    assert "is not text in utf-8" in message or (ending == ".zip" and "is not read as text in utf-8" in message)
    assert "encoding: latin-1" in message
    if kind == "text" and ending not in ("", ".dat"):  # the reader of texts passes over the encoding there
        with pytest.raises(RecipeError, match=r"wrong.*is not read as text in latin-1.*write it unpacked, in UTF-8"):
            load(kind, wrong, encoding="latin-1")
        return
    found = load(kind, wrong, encoding="latin-1").splits["train"]
    assert found["text"][-1] == "caf\u00e9"


@pytest.mark.parametrize("kind", ROWS)
def test_texts_in_utf_8_are_read(folder, kind):
    (folder / "rows").write_bytes("\n".join(ROWS[kind]).encode())
    assert load(kind, "rows").splits["train"]["text"][-1] == "caf\u00e9"
