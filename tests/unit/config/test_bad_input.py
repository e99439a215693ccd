"""What was given and what is allowed: one sentence, before anything is trained."""

import json

import pytest
from hydra.errors import HydraException

REFUSED = {
    "a key": (["optimizer.learning_rate=1"], "learning_rate"),
    "a target": (["optimizer._target_=torch.optim.Adamm"], "did you mean Adam"),
    "a forbidden target": (["optimizer._target_=os.system"], "allowed package"),
    "no optimizer": (["optimizer._target_=torch.nn.Linear"], "not a torch optimizer class"),
    "an added option": (
        ["+optimizer.beta=1"],
        r"optimizer.beta: Adam has no argument beta \(did you mean betas\?\)",
    ),
    "a learning rate that is a word": (["optimizer.lr=fast"], "optimizer: Adam"),
    "a negative learning rate": (["optimizer.lr=-1"], "Invalid learning rate: -1"),
    "a batch size of 0": (["data.batch_size=0"], "data.*batch_size=0"),
    "a batch larger than the data": (["data.batch_size=16"], "data.*batch_size=16.*15"),
    "a model's key": (["+model.net.depth=3"], "model.net.depth: Linear has no argument depth"),
    "a model's value": (["model.net.out_features=-1"], "model"),
    "a precision": (["trainer.precision=7"], "trainer.*7"),
    "a trainer's key": (["+trainer.max_stepz=1"], "trainer.max_stepz.*did you mean max_steps"),
    "no steps": (["trainer.max_steps=0"], "trainer.max_steps=0: give a whole number from 1"),
    "no end": (["trainer.max_steps=-1"], "the run would never end"),
    "a missing checkpoint": (["ckpt_path=nowhere.ckpt"], "ckpt_path=nowhere.ckpt: there is no"),
    "a monitor that is not logged": (
        ["monitor=val/los"],
        "monitor=val/los is never logged.*train/loss",
    ),
    "a monitor of a set that is not there": (["monitor=val/loss"], "monitor=val/loss is never"),
    "a mode": (["mode=least"], "mode=least"),
    "a divergence threshold": (["callbacks.divergence.factor=1"], "divergence.factor=1"),
    "a seed that is not a number": (["seed=x"], "seed=x"),
    "a negative seed": (["seed=-1"], "seed=-1: give a whole number from 0"),
    "a missing value": (["optimizer.lr=???"], "optimizer.lr"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_in_one_line(run, tmp_path, what):
    overrides, message = REFUSED[what]
    with pytest.raises((ValueError, HydraException), match=message) as raised:
        run("task=line", "trainer.max_steps=5", *overrides)
    if isinstance(raised.value, ValueError):
        assert "\n" not in str(raised.value)
    for result in tmp_path.glob("*/result.json"):
        assert json.loads(result.read_text())["status"] == "failed"
