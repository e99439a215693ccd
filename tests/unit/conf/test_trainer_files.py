"""Every file in conf/trainer trains, or says in one line why it cannot here."""

import re
import shlex
import warnings

import pytest
import torch
from conftest import CONF, composed, names

from stepsize.train import train

# Files for hardware, and for several processes: tests/all/test_ddp.py trains with ddp.
STEPS = {"default": 12, "cpu": 12, "debug": 3}
ELSEWHERE = {"gpu": "one NVIDIA GPU", "ddp": "processes of its own"}


class Warns(torch.nn.Linear):
    """Warns in each forward pass."""

    def forward(self, x):
        warnings.warn("half of it is wrong", stacklevel=2)
        return super().forward(x)


def test_every_file_is_tested():
    assert sorted([*STEPS, *ELSEWHERE]) == names("trainer")


@pytest.mark.parametrize("name", STEPS)
def test_a_run_with_the_file_completes_with_its_number_of_steps(run, name):
    finished = run(f"trainer={name}", "task=blobs", "trainer.max_steps=12")
    result = finished.result
    assert (result["status"], result["steps"]) == ("completed", STEPS[name])
    assert "val/loss" in result["metrics"]
    assert finished.checkpoint["global_step"] == STEPS[name]


@pytest.mark.parametrize("name", names("trainer"))
def test_a_file_begins_with_its_path_and_a_command(name, tmp_path):
    first = (CONF / "trainer" / f"{name}.yaml").read_text("utf-8").splitlines()[0]
    found = re.fullmatch(rf"# conf/trainer/{name}\.yaml -- python train\.py (.+)", first)
    assert found, first
    assert name == "default" or f"trainer={name}" in shlex.split(found[1])
    assert composed(f"trainer={name}", folder=tmp_path).trainer.max_steps == 2000  # the task's


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_an_error_of_one_line(tmp_path):
    with pytest.raises(ValueError, match="No supported gpu backend") as raised:
        train(composed("trainer=gpu", "task=line", folder=tmp_path))
    assert "\n" not in str(raised.value)


def test_debug_says_what_it_limits_and_turns_warnings_into_errors(run, caplog):
    words = ["task=line", "model.net._target_=test_trainer_files.Warns",
             "allowed_packages=[test_trainer_files]"]  # fmt: skip
    caplog.set_level("INFO")
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "once", message="half"
        )  # the tests' own rule is that of trainer=debug
        assert run("trainer=cpu", *words, "trainer.max_steps=2").result["status"] == "completed"
        assert "trainer=debug" not in caplog.text
        with pytest.raises(UserWarning, match="half of it is wrong"):
            run("trainer=debug", *words)
    assert "limit_train_batches=3" in caplog.text
    assert "max_steps=2000" in caplog.text


def test_fast_dev_run_is_refused_with_the_name_of_debug(run):
    with pytest.raises(ValueError, match=r"trainer.fast_dev_run=True.*trainer=debug") as raised:
        run("task=line", "+trainer.fast_dev_run=true")
    assert "\n" not in str(raised.value)
