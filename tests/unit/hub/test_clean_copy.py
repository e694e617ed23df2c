"""What is sent lies in the folder that is sent."""

import pytest

from hf_mtl.hub import clean_copy


@pytest.mark.parametrize("name", ["README.md", "config.json", "model.safetensors", "LICENSE", "eval_results.json"])
def test_a_link_out_of_the_folder_is_refused_by_its_name(tmp_path, name):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in ("config.json", "model.safetensors"):
        (folder / file).write_text("{}")
    (tmp_path / "secret").write_text("{}")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match=f"{name}' is a link to a file outside"):
        clean_copy(folder, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_links_within_the_folder_and_those_of_the_cache_are_followed(tmp_path):
    folder = tmp_path / "models--a--b" / "snapshots" / "1"
    blobs = tmp_path / "models--a--b" / "blobs"
    folder.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "x").write_text("{}")
    (folder / "config.json").symlink_to(blobs / "x")
    (folder / "weights").write_text("w")
    (folder / "model.safetensors").symlink_to("weights")
    assert clean_copy(folder, tmp_path / "copy") == ["config.json", "model.safetensors"]
    assert (tmp_path / "copy" / "model.safetensors").read_text() == "w"
