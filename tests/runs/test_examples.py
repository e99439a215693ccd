"""Every example runs by the command that it documents, and its extension is in the run."""

import json
import re
import shlex

import pytest
from command_line import run_command
from conftest import ROOT, Finished

EXAMPLES = ROOT / "examples"
FILES = {
    path.stem: path
    for path in [*EXAMPLES.glob("*.py"), EXAMPLES / "conf/param_groups/own_param_group_rule.yaml"]
}


def documented_command(name):
    """The arguments of the first ``python train.py ...`` in the file."""
    text = FILES[name].read_text("utf-8").replace("\\\n", " ")
    return shlex.split(re.search(r"^#? +python train\.py (.+)$", text, re.MULTILINE).group(1))


def network_of_cosines(run):
    weights = run.checkpoint["state_dict"]
    assert {"net.frequencies", "net.phases"} < set(weights)


def data_of_its_class(run):
    assert "SineWithOutliers" in run.checkpoint  # where Lightning saves a data module's state


def module_and_data_that_subclass_nothing(run):
    assert "decoder.0.weight" in run.checkpoint["state_dict"]
    error = run.curve("val/error")
    assert error[60] < error[30]


def optimizer_with_one_average(run):
    (optimizer,) = run.checkpoint["optimizer_states"]
    assert set(optimizer["state"][0]) == {"average"}
    assert optimizer["param_groups"][0]["beta"] == 0.9


def three_groups(run):
    (optimizer,) = run.checkpoint["optimizer_states"]
    assert [
        (group["name"], group["lr"], group["weight_decay"], group["betas"][1])
        for group in optimizer["param_groups"]
    ] == [
        ("biases", 1e-3, 0.0, 0.999),
        ("output", pytest.approx(1e-4), 0.01, 0.999),
        ("hidden", 1e-3, 0.01, 0.99),
    ]


def dips_of_the_learning_rate(run):
    lrs = run.curve("lr/default")
    low = [step for step, lr in lrs.items() if lr == pytest.approx(1e-4)]
    assert low == [12, 13, 14, 27, 28, 29, 42, 43, 44, 57, 58, 59]


def distance_from_the_start(run):
    distances = list(run.curve("distance/output").values())
    assert distances[0] == 0
    assert distances == sorted(distances)


def lines_of_json(run):
    lines = (run.folder / "metrics.jsonl").read_text("utf-8").splitlines()
    rows = {row["step"]: row for row in map(json.loads, lines) if "train/loss" in row}
    assert {step: row["train/loss"] for step, row in rows.items()} == run.curve("train/loss")


EVIDENCE = {
    "own_network": network_of_cosines,
    "own_dataset": data_of_its_class,
    "own_lightning_module": module_and_data_that_subclass_nothing,
    "own_optimizer": optimizer_with_one_average,
    "own_param_group_rule": three_groups,
    "own_schedule": dips_of_the_learning_rate,
    "own_callback": distance_from_the_start,
    "own_logger": lines_of_json,
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_example_runs_by_its_command_and_is_in_the_run(name, tmp_path):
    arguments = documented_command(name)
    kind = "sweep" if any(argument.startswith("sweep=") for argument in arguments) else "run"
    done = run_command(
        *arguments, "trainer.max_steps=60", "trainer.log_every_n_steps=1",
        "trainer.val_check_interval=10", f"hydra.{kind}.dir={tmp_path}", cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    results = [json.loads(file.read_text("utf-8")) for file in tmp_path.glob("**/result.json")]
    assert {result["status"] for result in results} == {"completed"}
    for config in tmp_path.glob("**/.hydra/config.yaml"):
        assert FILES[name].suffix == ".yaml" or f"examples.{name}" in config.read_text("utf-8")
    if name in EVIDENCE:
        EVIDENCE[name](Finished(float("nan"), tmp_path))


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_example_is_short_and_has_a_config(name):
    assert len(FILES[name].read_text("utf-8").splitlines()) <= 65
    assert list(EXAMPLES.glob(f"conf/*/{name}.yaml"))


def test_the_configs_name_only_the_file_that_they_are_called_after():
    for file in EXAMPLES.glob("conf/*/*.yaml"):
        assert file.stem in FILES
        assert set(re.findall(r"examples\.(\w+)", file.read_text("utf-8"))) <= {file.stem}
