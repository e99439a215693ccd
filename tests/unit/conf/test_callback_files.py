"""Every file in conf/callbacks does its work in a short run, and says how it is chosen."""

import re
import shlex

import pytest
from conftest import CONF, names

# What a file needs beside itself.
OVERRIDES = {
    "unfreeze": ["task=digits_mlp", "param_groups=freeze_backbone"],
    "swa": ["task=digits_mlp", "scheduler=swalr"],
}


@pytest.mark.parametrize("name", names("callbacks"))
def test_a_run_with_the_file_completes_and_reduces_its_loss(run, name):
    overrides = OVERRIDES.get(name, ["task=line"])
    finished = run(f"callbacks={name}", *overrides, "trainer.max_steps=12")
    result = finished.result
    assert (result["status"], result["steps"]) == ("completed", 12)
    losses = result["metrics"]["train/loss"]
    assert losses["final"] < losses["first"]
    assert finished.checkpoint["global_step"] == 12


@pytest.mark.parametrize("name", names("callbacks"))
def test_a_file_begins_with_its_path_and_a_command(name):
    first = (CONF / "callbacks" / f"{name}.yaml").read_text("utf-8").splitlines()[0]
    found = re.fullmatch(rf"# conf/callbacks/{name}\.yaml -- python train\.py (.+)", first)
    assert found, first
    assert name == "default" or f"callbacks={name}" in shlex.split(found[1])
