"""A run's folder, and what an earlier attempt left in it."""

import json

import pytest
import yaml

from stepsize.run.folder import ChangedConfigError, EarlierAttempt, holds_run

CONFIG = {"seed": 0, "name": "a", "plots": True, "optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}}


def attempt(folder, status=None, config=CONFIG):
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    if status:
        (folder / "result.json").write_text(json.dumps({"status": status}))
    return EarlierAttempt.read(folder)


def test_a_folder_that_does_not_exist_has_not_begun(tmp_path):
    earlier = EarlierAttempt.read(tmp_path / "none")
    assert not earlier.begun
    assert earlier.checked(CONFIG, overwrite=False) is earlier


@pytest.mark.parametrize(
    ("status", "done"),
    [
        ("completed", True),
        ("diverged", True),
        ("failed", False),
        ("interrupted", False),
        (None, False),
    ],
)
def test_completed_and_diverged_runs_are_done(tmp_path, status, done):
    assert attempt(tmp_path, status).is_done is done


@pytest.mark.parametrize(
    ("status", "resumed"), [(None, True), ("interrupted", True), ("failed", False)]
)
def test_an_interrupted_run_resumes_and_a_failed_one_is_repeated(tmp_path, status, resumed):
    earlier = attempt(tmp_path, status)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"x")
    assert (earlier.checkpoint is not None) is resumed


def test_a_changed_value_is_refused_with_both_values(tmp_path):
    changed = {**CONFIG, "optimizer": {"lr": 0.2, "betas": [0.9, 0.99]}}
    earlier = attempt(tmp_path, "completed")
    with pytest.raises(ChangedConfigError, match=r"lr was 0.1, is 0.2; give overwrite=true"):
        earlier.checked(changed, overwrite=False)
    assert not earlier.checked(changed, overwrite=True).is_done


@pytest.mark.parametrize("changed", [{"name": "b"}, {"plots": "auto"}], ids=["name", "plots"])
def test_a_changed_name_or_plot_is_no_change(tmp_path, changed):
    earlier = attempt(tmp_path, "completed")
    assert earlier.checked({**CONFIG, **changed}, overwrite=False).is_done


def test_an_unreadable_result_counts_as_unfinished(tmp_path):
    attempt(tmp_path, "completed")
    (tmp_path / "result.json").write_text('{"status": "comp')
    assert not EarlierAttempt.read(tmp_path).is_done


@pytest.mark.parametrize("content", ["", "seed: [0", "seed", "\x00\x00"], ids=repr)
def test_an_unfinished_run_whose_configuration_was_half_written_is_trained_again(tmp_path, content):
    attempt(tmp_path)
    (tmp_path / ".hydra" / "config.yaml").write_text(content)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"x")
    earlier = EarlierAttempt.read(tmp_path).checked(CONFIG, overwrite=False)
    assert earlier.begun
    assert not earlier.is_done
    assert earlier.checkpoint is None


def test_a_completed_run_whose_configuration_cannot_be_read_is_kept(tmp_path):
    attempt(tmp_path, "completed")
    (tmp_path / ".hydra" / "config.yaml").write_text("")
    with pytest.raises(ChangedConfigError, match=r"config\.yaml cannot be read"):
        EarlierAttempt.read(tmp_path).checked(CONFIG, overwrite=False)


@pytest.mark.parametrize("content", ["[]", "3", "null", "{"])
def test_a_result_that_is_no_mapping_counts_as_none(tmp_path, content):
    attempt(tmp_path, "completed")
    (tmp_path / "result.json").write_text(content)
    assert EarlierAttempt.read(tmp_path).result == {}


def test_clearing_removes_curves_and_result_and_keeps_the_log(tmp_path):
    earlier = attempt(tmp_path, "interrupted")
    for name in ("metrics.csv", "fit.png", "train.log", "events.out.tfevents.1"):
        (tmp_path / name).write_text("")
    (tmp_path / "checkpoints").mkdir()
    earlier.clear(keep_checkpoint=True)
    assert {path.name for path in tmp_path.iterdir()} == {".hydra", "train.log", "checkpoints"}
    assert holds_run(tmp_path)
    earlier.clear(keep_checkpoint=False)
    assert not holds_run(tmp_path)
