"""A renamed key ends in one line that names the new key, wherever it is set."""

import pytest
import yaml
from conftest import CONF

from stepsize.config.schema import RENAMED, refuse_renamed_overrides


@pytest.mark.parametrize("old", RENAMED)
def test_a_renamed_key_on_the_command_line_ends_in_one_line(command, old):
    done = command(f"{old}=1")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert old in done.stderr
    assert RENAMED[old] in done.stderr


@pytest.mark.parametrize(
    ("override", "new"),
    [
        ("optimizer.rest.lr=1e-3", "optimizer.other_params"),
        ("callbacks.picture.title=x", "callbacks.plot"),
        ("hydra.sweeper.then.seed=[1,2]", "hydra.sweeper.final_stage.seeds"),
        ("~callbacks.picture", "callbacks.plot"),
        ("+pictures=false", "plots"),
    ],
)
def test_a_key_below_a_renamed_one_names_the_new_key_too(override, new):
    with pytest.raises(SystemExit, match=f" is called {new} now"):
        refuse_renamed_overrides([override])


@pytest.mark.parametrize("override", ["plots=false", "allowed_packages=[x]", "name=pictures"])
def test_other_overrides_are_not_refused(override):
    refuse_renamed_overrides([override])


FILES = {
    "sweep/old": ("# @package _global_\npictures: false\n", "plots"),
    "sweep/older": (
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    only_fitting: true\n"
        "    params: {seed: '0,1'}\n",
        "skip_incompatible",
    ),
    "data/old": (
        (CONF / "data" / "line.yaml").read_text().replace("shuffle_seed", "order_seed"),
        "data.shuffle_seed",
    ),
    "optimizer/old": (
        (CONF / "optimizer" / "muon.yaml").read_text().replace("\nparams:", "\ntakes:"),
        "optimizer.params",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_renamed_key_in_a_file_ends_in_one_line(command, tmp_path, name):
    text, new = FILES[name]
    group, file = name.split("/")
    folder = tmp_path / "mine" / group
    folder.mkdir(parents=True)
    (folder / f"{file}.yaml").write_text(text)
    done = command("--config-dir", str(tmp_path / "mine"), "task=line", f"{group}={file}")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "is called" in line]
    assert new in line


def test_the_new_names_exist():
    text = (CONF / "train.yaml").read_text()
    config = yaml.safe_load(text)
    assert {new for new in RENAMED.values() if "." not in new} <= config.keys()
