"""A token stays in memory."""


def test_no_file_of_a_run_holds_the_token(build, tmp_path):
    trainer = build(hub_token="hf_very_secret", save_strategy="epoch")
    trainer.train()
    trainer.save_model()
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {"training_args.bin", "config.json"} <= {path.name for path in files}
    assert not [path for path in files if b"hf_very_secret" in path.read_bytes()]
    assert trainer.args.hub_token == "hf_very_secret"
