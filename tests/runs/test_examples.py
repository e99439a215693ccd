"""Every file of examples/ does what its docstring says, with the command that it gives."""

import ast
import json
import re
import shlex

import pytest
import torch
from command_line import ROOT, run_command

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
CONFIGS = sorted((ROOT / "examples" / "conf").rglob("*.yaml"))
# examples/conf is named relative to the repository; these are the only relative paths.
IN_ROOT = {"examples/conf": str(ROOT / "examples" / "conf")}


def commands(text):
    return re.findall(r"^    (python .*)$", text, re.MULTILINE)


def call(command, folder, *overrides):
    """The command with more overrides, in another folder; the last run's folder."""
    script, *arguments = (IN_ROOT.get(word, word) for word in shlex.split(command)[1:])
    done = run_command(*arguments, *overrides, cwd=folder, script=ROOT / script)
    assert done.returncode == 0, done.stderr
    return done


def trained(name, folder, *overrides):
    """The run that the example's first command makes, with a small budget."""
    docstring = ast.get_docstring(ast.parse((ROOT / "examples" / f"{name}.py").read_text()))
    assert docstring is not None
    (command, *_) = [c for c in commands(docstring) if "train.py" in c]
    call(command, folder, "trainer.max_steps=60", *overrides)
    return next(iter(folder.glob("outputs/*/*")))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_30_to_60_lines_and_begins_with_its_command(path):
    lines = path.read_text().splitlines()
    assert 30 <= len(lines) <= 60
    assert commands("\n".join(lines[1:5]))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_config_of_an_example_begins_with_its_path_and_a_command(path):
    first = path.read_text().splitlines()[path.read_text().startswith("# @package")]
    relative = path.relative_to(ROOT).as_posix()
    assert first.startswith(f"# {relative} -- python train.py --config-dir examples/conf")


TRAINING = [path.stem for path in EXAMPLES if path.stem != "own_report_column"]


@pytest.mark.parametrize("name", TRAINING)
def test_the_command_of_an_example_trains(name, tmp_path):
    folder = trained(name, tmp_path)
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "completed"
    loss = result["metrics"]["train/loss"]
    assert loss["final"] < loss["first"]
    assert f"examples.{name}." in (folder / ".hydra" / "config.yaml").read_text() or (
        name == "own_param_group_rule"  # a file without a class
    )
    effect(name, folder, result)


def effect(name, folder, result):
    """What the example adds to a run."""
    header = (folder / "metrics.csv").read_text().splitlines()[0].split(",")
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    if name == "own_callback":
        assert result["metrics"]["distance"]["first"] == 0 < result["metrics"]["distance"]["final"]
        assert "distance" in header
    elif name == "own_logger":
        rows = [json.loads(row) for row in (folder / "metrics.jsonl").read_text().splitlines()]
        assert {"step", "train/loss"} <= rows[0].keys()
        assert not list(folder.glob("events*"))
    elif name == "own_param_group_rule":
        assert {"lr/stem", "lr/kernels", "lr/default"} <= set(header)
    elif name == "own_lightning_module":
        assert "val/loss" in header
    elif name == "own_schedule":
        column = header.index("lr/default")
        lines = (folder / "metrics.csv").read_text().splitlines()[1:]
        lrs = [float(line.split(",")[column]) for line in lines if line.split(",")[column]]
        assert len(set(lrs)) > 2
    elif name == "own_network":
        assert "net.frequencies" in checkpoint["state_dict"]
    elif name == "own_dataset":
        assert "Sine" in checkpoint  # Lightning saves a data module's state under its class
    elif name == "own_optimizer":
        (optimizer,) = checkpoint["optimizer_states"]
        assert set(optimizer["state"][0]) == {"average"}


def test_a_rule_is_tried_out_without_training(tmp_path):
    (command, _) = commands((ROOT / "examples" / "own_param_group_rule.py").read_text())
    out = call(command, tmp_path).stdout
    assert re.search(r"^stem: lr x 0\.1 *\n    net\.conv1\.weight ", out, re.MULTILINE)
    assert "default: lr x 1" in out
    assert not (tmp_path / "outputs").exists()


def test_a_column_is_in_the_table_and_in_results_csv(tmp_path):
    report = trained("own_report_column", tmp_path) / "report"
    assert "us_per_step" in (report / "results.csv").read_text().splitlines()[0]
    assert "us per" in (report / "report.md").read_text()
