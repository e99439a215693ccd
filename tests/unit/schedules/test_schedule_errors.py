"""An invalid schedule is refused in one line, before training."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stepsize.schedules.build import build_schedule

TORCH = "torch.optim.lr_scheduler."
COSINE = {"_target_": f"{TORCH}CosineAnnealingLR", "T_max": "100%"}
LINEAR = {"_target_": f"{TORCH}LinearLR", "total_iters": "5%"}
STEP = {"_target_": f"{TORCH}StepLR", "step_size": "30%"}
PLATEAU = {"_target_": f"{TORCH}ReduceLROnPlateau"}
ONECYCLE = {
    "_target_": f"{TORCH}OneCycleLR",
    "max_lr": 1.0,
    "total_steps": "100%",
    "cycle_momentum": False,
}
LAMBDA = {
    "_target_": f"{TORCH}LambdaLR",
    "lr_lambda": {
        "_target_": "stepsize.schedules.functions.InverseSqrt",
        "warmup": "5%",
    },
}


def sequence(*schedulers: Any, milestones: Any = ("50%",), **more: Any) -> dict[str, Any]:
    target = f"{TORCH}SequentialLR"
    return {
        "_target_": target,
        "schedulers": list(schedulers),
        "milestones": list(milestones) if isinstance(milestones, tuple) else milestones,
        **more,
    }


def chain(*schedulers: Any) -> dict[str, Any]:
    return {"_target_": f"{TORCH}ChainedScheduler", "schedulers": list(schedulers)}


def build(config: dict[str, Any], steps: int = 40, **options: Any) -> Any:
    optimizer = torch.optim.Adagrad([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    return build_schedule(config, optimizer, total_steps=steps, steps_per_epoch=10, **options)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param(
            {**COSINE, "T_mx": 3},
            r"scheduler\.T_mx: CosineAnnealingLR has no argument T_mx \(did you mean T_max\?\); "
            r"it takes T_max, eta_min; Lightning takes interval, frequency, monitor, strict, name",
            id="mistyped argument",
        ),
        pytest.param(
            {**COSINE, "intervall": "step"},
            r"scheduler\.intervall: .*did you mean interval\?",
            id="mistyped key of Lightning",
        ),
        pytest.param(
            {**COSINE, "last_epoch": 3},
            r"scheduler\.last_epoch: CosineAnnealingLR has no argument last_epoch",
            id="where a resumed run begins",
        ),
        pytest.param(
            {"_target_": STEP["_target_"]},
            r"scheduler\.step_size: StepLR needs it; it takes step_size, gamma",
            id="missing argument",
        ),
        pytest.param({"T_max": 3}, r"scheduler: give a class", id="no class"),
        pytest.param(
            {"_target_": f"{TORCH}CosineLR"},
            r"scheduler\._target_=torch\.optim\.lr_scheduler\.CosineLR: there is no CosineLR",
            id="unknown class",
        ),
        pytest.param(
            {"_target_": "os.system", "command": "true"},
            r"scheduler\._target_=os\.system is not in an allowed package",
            id="class that may not be reached",
        ),
        pytest.param(
            {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1},
            r"makes a Linear, which is not a torch scheduler",
            id="class that is no scheduler",
        ),
        pytest.param(
            {**COSINE, "interval": "steps"},
            r"scheduler\.interval=steps: give step or epoch",
            id="unknown interval",
        ),
        pytest.param(
            {**COSINE, "frequency": 0},
            r"scheduler\.frequency=0: give a whole number from 1 up",
            id="frequency below one",
        ),
        pytest.param(
            {**COSINE, "frequency": 11},
            r"scheduler\.frequency=11: an epoch.*at interval=step give 1 to 10",
            id="frequency that never comes round in an epoch",
        ),
        pytest.param(
            {**COSINE, "interval": "epoch", "frequency": 9},
            r"scheduler\.frequency=9: the run.*at interval=epoch give 1 to 3",
            id="frequency that never comes round in the run",
        ),
        pytest.param(
            {**COSINE, "strict": "no"},
            r"scheduler\.strict=no: give true or false",
            id="strict that is neither true nor false",
        ),
        pytest.param(
            {**COSINE, "T_max": "-5%"},
            r"scheduler\.T_max=-5%: a share of the run is a number above 0",
            id="negative share",
        ),
        pytest.param(
            {**COSINE, "T_max": "0%"},
            r"scheduler\.T_max=0%: a share of the run is a number above 0",
            id="share of nothing",
        ),
        pytest.param(
            {**COSINE, "T_max": 0},
            r"scheduler\.T_max=0: give a whole number from 1 up, a share of the run such as 5%",
            id="duration of nothing",
        ),
        pytest.param(
            {**COSINE, "T_max": "half"},
            r"scheduler\.T_max=half: give a whole number from 1 up",
            id="duration that is a string",
        ),
        pytest.param(
            PLATEAU,
            r"scheduler\.monitor: ReduceLROnPlateau needs a logged tag to watch",
            id="plateau of nothing",
        ),
        pytest.param(
            {**PLATEAU, "mode": "least", "monitor": "train/loss"},
            r"scheduler: ReduceLROnPlateau\(mode=least\): mode least is unknown",
            id="value that torch refuses",
        ),
        pytest.param(
            sequence(LINEAR, PLATEAU),
            r"scheduler\.schedulers\[1\]: SequentialLR cannot hold ReduceLROnPlateau: it "
            r"follows a metric",
            id="plateau in a sequence",
        ),
        pytest.param(
            chain(LINEAR, PLATEAU),
            r"scheduler\.schedulers\[1\]: ChainedScheduler cannot hold ReduceLROnPlateau",
            id="plateau in a chain",
        ),
        pytest.param(
            sequence(LINEAR, chain(STEP, COSINE)),
            r"scheduler\.schedulers\[1\]: SequentialLR cannot hold ChainedScheduler",
            id="chain in a sequence",
        ),
        pytest.param(
            chain(LINEAR, LAMBDA),
            r"scheduler\.schedulers\[1\]: ChainedScheduler cannot hold LambdaLR: it "
            r"replaces the lr.*chain MultiplicativeLR",
            id="link of a chain that undoes the others",
        ),
        pytest.param(
            sequence(LINEAR, {**COSINE, "interval": "step"}),
            r"scheduler\.schedulers\[1\]\.interval: CosineAnnealingLR has no argument interval; "
            r"it takes T_max, eta_min$",
            id="key of Lightning inside a sequence",
        ),
        pytest.param(
            sequence(LINEAR, "cosine"),
            r"scheduler\.schedulers\[1\]: give a class",
            id="part that is a string",
        ),
        pytest.param(
            sequence(),
            r"scheduler\.schedulers=\[\]: give a list of schedulers",
            id="sequence of nothing",
        ),
        pytest.param(
            sequence(LINEAR, COSINE, milestones=("5%", "10%")),
            r"scheduler\.milestones=\['5%', '10%'\]: give 1, one less than there are schedulers",
            id="milestone too many",
        ),
        pytest.param(
            sequence(LINEAR, COSINE, STEP, milestones=("50%", 10)),
            r"scheduler\.milestones=\['50%', 10\]: each must be later than the one before",
            id="milestones in disorder",
        ),
        pytest.param(
            sequence(LINEAR, COSINE, milestones="5%"),
            r"scheduler\.milestones=5%: give a list",
            id="milestones that are no list",
        ),
        pytest.param(
            sequence(LINEAR, COSINE, milestones=("rest",)),
            r"scheduler\.milestones=\['rest'\]: give whole numbers from 1 up or shares",
            id="milestone at the rest",
        ),
        pytest.param(
            {**ONECYCLE, "cycle_momentum": True},
            r"scheduler: OneCycleLR\(.*cycle_momentum=True\): optimizer must support momentum",
            id="momentum of an optimizer without one",
        ),
        pytest.param(
            {**ONECYCLE, "total_steps": "50%"},
            r"scheduler\.total_steps=20: OneCycleLR cannot be stepped.*40 times",
            id="one cycle shorter than the run",
        ),
        pytest.param(
            {**ONECYCLE, "pct_start": 1.0},
            r"scheduler\.pct_start=1\.0 leaves OneCycleLR no step after its peak",
            id="one cycle without a descent",
        ),
        pytest.param(
            {**LAMBDA, "lr_lambda": {**LAMBDA["lr_lambda"], "warmup": 0}},
            r"scheduler\.lr_lambda: InverseSqrt\(warmup=0\): warmup=0: give a number above 0",
            id="value that a function refuses",
        ),
        pytest.param(
            {**LAMBDA, "lr_lambda": {**LAMBDA["lr_lambda"], "warm_up": 3}},
            r"scheduler\.lr_lambda\.warm_up: InverseSqrt has no argument warm_up \(did you mean "
            r"warmup\?\); it takes warmup$",
            id="argument that a function does not have",
        ),
        pytest.param(
            {**LAMBDA, "lr_lambda": [LAMBDA["lr_lambda"], LAMBDA["lr_lambda"]]},
            r"scheduler: LambdaLR\(.*Expected 1 lr_lambdas, but got 2",
            id="function too many",
        ),
    ],
)
def test_an_invalid_value_is_refused_with_the_allowed_ones(
    config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build(config)
    assert "\n" not in str(caught.value)


def test_learning_rates_cannot_be_scaled_from_nothing() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [parameters[0]]}, {"params": [parameters[1]], "lr": 0.1}]
    optimizer = torch.optim.SGD(groups, lr=0.0)
    with pytest.raises(ValueError, match=r"scheduler\.max_lr=1\.0 cannot be scaled"):
        build_schedule(ONECYCLE, optimizer, total_steps=40, steps_per_epoch=10)
