"""Frozen groups join the running optimizer, its schedule and its checkpoints."""

import logging
import math

import pytest
import torch
from conftest import composed, names
from omegaconf import OmegaConf
from torch import nn

from stepsize.callbacks.unfreeze import Unfreeze, join_group
from stepsize.optim import OptimizerSpec, build_schedule, plan_optimizer
from stepsize.optim.compatibility import needs_graph
from stepsize.optim.plan import CompositeOptimizer

TOTAL = 40
FROZEN = {"backbone": {"match": "^layer1", "freeze": True}}
UNFREEZE = (
    "task=digits_mlp",
    "param_groups=freeze_backbone",
    "callbacks=unfreeze",
    "callbacks.plot=null",
    "trainer.val_check_interval=4",
    "trainer.log_every_n_steps=1",
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1, self.layer2, self.fc = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.layer2(self.layer1(x)))


def configured(group, name, tmp_path):
    cfg = composed(f"{group}={name}", folder=tmp_path)
    return OmegaConf.to_container(cfg[group], resolve=True, enum_to_str=True)


def built(scheduler, config=None, rules=FROZEN):
    net = Net()
    spec = OptimizerSpec.from_config(config or {"_target_": "torch.optim.Adam", "lr": 1e-3})
    plan = plan_optimizer(spec, net.named_parameters(), rules)
    optimizer = plan.build()
    entry = build_schedule(
        scheduler, optimizer, total_steps=TOTAL, steps_per_epoch=TOTAL, monitor="loss"
    )
    return net, plan, optimizer, entry["scheduler"] if entry else None


def move(optimizer, scheduler):
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        scheduler.step(1.0)
    elif scheduler:
        scheduler.step()


@pytest.mark.parametrize("moment", [1, 3, 20])
@pytest.mark.parametrize("name", names("scheduler"))
def test_a_joined_groups_learning_rate_keeps_its_ratio_under_every_schedule(name, moment, tmp_path):
    config = configured("scheduler", name, tmp_path)
    if name == "plateau":
        config |= {"patience": 4, "interval": "step"}
    rules = {**FROZEN, "head": {"match": "^fc", "lr_scale": 3.0}}
    _, plan, optimizer, scheduler = built(config, rules=rules)
    alone = built(config, rules=rules)[2:]
    for step in range(TOTAL - 1):
        if step == moment:
            schedulers = [scheduler] if scheduler else []
            join_group(plan, optimizer, schedulers, "backbone", {"lr_scale": 0.1})
        lrs = {group["name"]: group["lr"] for group in optimizer.param_groups}
        assert [group["lr"] for group in alone[0].param_groups] == [lrs["head"], lrs["default"]]
        if step >= moment:
            assert lrs["backbone"] == pytest.approx(0.1 * lrs["default"], rel=1e-9, abs=1e-12)
            assert lrs["backbone"] == pytest.approx(0.1 / 3 * lrs["head"], rel=1e-9, abs=1e-12)
        move(optimizer, scheduler)
        move(*alone)
    if scheduler:
        assert len(scheduler.get_last_lr()) == 3


@pytest.mark.parametrize("name", ["onecycle", "cyclic"])
def test_a_joined_group_follows_a_cycled_momentum(name, tmp_path):
    config = configured("scheduler", name, tmp_path) | {"cycle_momentum": True}
    _, plan, optimizer, scheduler = built(config)
    for step in range(TOTAL - 1):
        if step == 5:
            join_group(plan, optimizer, [scheduler], "backbone", {})
        assert len({group["betas"] for group in optimizer.param_groups}) == 1
        move(optimizer, scheduler)


ONE_GROUP = {"lbfgs": "one group only", "sparse_adam": "sparse gradients only"}


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
@pytest.mark.parametrize("name", [name for name in names("optimizer") if name not in ONE_GROUP])
def test_every_optimizer_trains_the_group_from_the_step_at_which_it_joins(name, tmp_path):
    net, plan, optimizer, _ = built({}, configured("optimizer", name, tmp_path))
    if hasattr(optimizer, "train"):
        optimizer.train()
    frozen = net.layer1.weight.detach().clone()

    def closure():
        optimizer.zero_grad()
        loss = net(torch.ones(3, 4)).square().mean()
        loss.backward(create_graph=needs_graph(type(optimizer)))
        return loss

    for step in range(4):
        assert torch.equal(net.layer1.weight, frozen) == (step < 3)
        if step == 2:
            join_group(plan, optimizer, [], "backbone", {})
        optimizer.step(closure)
    net.zero_grad()


def test_each_parameter_joins_the_part_that_would_have_it_if_nothing_were_frozen(tmp_path):
    config = configured("optimizer", "muon", tmp_path)
    net, plan, optimizer, _ = built({}, config)
    assert isinstance(optimizer, CompositeOptimizer)
    join_group(plan, optimizer, [], "backbone", {"lr_scale": 0.5})
    muon, adamw = (part.param_groups[-1] for part in optimizer.optimizers)
    assert [group["name"] for group in optimizer.param_groups] == [
        "default/Muon", "default/AdamW", "backbone/Muon", "backbone/AdamW",
    ]  # fmt: skip
    assert muon["params"] == [net.layer1.weight]
    assert adamw["params"] == [net.layer1.bias]
    assert muon["lr"] == 0.5 * config["lr"]
    assert adamw["lr"] == 0.5 * config["other_params"]["lr"]
    assert "betas" not in muon


def test_a_composites_parts_keep_joined_groups_when_a_state_is_loaded(tmp_path):
    _, plan, optimizer, _ = built({}, configured("optimizer", "muon", tmp_path))
    join_group(plan, optimizer, [], "backbone", {})
    move(optimizer, None)
    optimizer.load_state_dict(optimizer.state_dict())
    owned = [[group["name"] for group in part.param_groups] for part in optimizer.optimizers]
    assert owned == [["default/Muon", "backbone/Muon"], ["default/AdamW", "backbone/AdamW"]]


def test_a_composite_refuses_a_group_that_no_part_takes(tmp_path):
    _, _, optimizer, _ = built({}, configured("optimizer", "muon", tmp_path))
    with pytest.raises(ValueError, match="which part takes the group"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2, 2))]})


def test_a_run_trains_the_group_from_its_share_on(run, caplog):
    with caplog.at_level(logging.INFO, "stepsize"):
        finished = run(*UNFREEZE, "scheduler=warmup_cosine", "trainer.max_steps=10")
    lrs = finished.curve("lr/backbone")
    assert sorted(lrs) == [5, 6, 7, 8, 9]
    assert lrs == {step: finished.curve("lr/default")[step] for step in lrs}
    logged = [r.message for r in caplog.records if "backbone" in r.message]
    assert logged[0].endswith("frozen")
    assert logged[1] == "step 5: backbone is trained from here on"
    assert "Adam with 2 parameter groups" in logged[2]
    assert "frozen" not in logged[2]


def test_the_learning_rate_of_the_group_can_be_set(run):
    overrides = ("callbacks.unfreeze.groups.backbone.lr_scale=0.5", "trainer.max_steps=4")
    finished = run(*UNFREEZE, *overrides)
    assert finished.curve("lr/backbone") == {2: 5e-4, 3: 5e-4}
    group = "callbacks.unfreeze.groups.backbone"
    absolute = (f"{group}.at=3", f"{group}.lr_scale=null", f"+{group}.lr=0.25")
    assert run(*UNFREEZE, *absolute, overrides[1]).curve("lr/backbone") == {3: 0.25}


@pytest.mark.parametrize(
    ("optimizer", "scheduler"), [("adam", "cosine_steps"), ("muon", "none"), ("adagrad", "lambda")]
)
def test_a_checkpoint_before_or_after_the_unfreezing_resumes_exactly(run, optimizer, scheduler):
    # A schedule in steps, so that the shorter run's is the same.
    schedule = {
        "cosine_steps": ("scheduler=cosine", "scheduler.T_max=12"),
        "lambda": ("scheduler=lambda", "scheduler.lr_lambda.half_life=4"),
        "none": (),
    }[scheduler]
    overrides = (
        *UNFREEZE, *schedule, f"optimizer={optimizer}",
        "callbacks.unfreeze.groups.backbone.at=6",
    )  # fmt: skip
    whole = run(*overrides, "trainer.max_steps=12")
    after = len(whole.checkpoint["optimizer_states"][0]["param_groups"])
    lr = "lr/backbone/Muon" if optimizer == "muon" else "lr/backbone"
    for stop in (4, 6, 9):
        first = run(*overrides, f"trainer.max_steps={stop}")
        groups = len(first.checkpoint["optimizer_states"][0]["param_groups"])
        assert (groups < after) == (stop < 6)
        left = first.folder / "checkpoints" / "last.ckpt"
        resumed = run(*overrides, "trainer.max_steps=12", f"ckpt_path={left}")
        _same(whole.checkpoint["state_dict"], resumed.checkpoint["state_dict"])
        _same(whole.checkpoint["optimizer_states"], resumed.checkpoint["optimizer_states"])
        assert whole.curve(lr) == resumed.curve(lr)
        assert whole.curve("train/loss") == resumed.curve("train/loss")


def _same(a, b):
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            _same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            _same(one, other)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


def test_new_learning_rates_for_a_group_that_has_joined_are_refused(run):
    first = run(*UNFREEZE, "trainer.max_steps=4")
    checkpoint = f"ckpt_path={first.folder / 'checkpoints' / 'last.ckpt'}"
    with pytest.raises(ValueError, match=r"resume=override_lr: .* of backbone"):
        run(*UNFREEZE, "trainer.max_steps=8", checkpoint, "resume=override_lr")


def test_a_step_after_the_runs_end_is_a_warning(run, caplog):
    run(*UNFREEZE, "callbacks.unfreeze.groups.backbone.at=9", "trainer.max_steps=4")
    assert "backbone stays frozen, step 9 is after the run's last, 4" in caplog.text


REFUSED = {
    "a name that is not frozen": (["+callbacks.unfreeze.groups.head=10%"], "frozen are backbone"),
    "nothing frozen": (["param_groups=none"], "nothing is frozen"),
    "an optimizer of one group": (["optimizer=lbfgs"], "LBFGS takes one parameter group"),
    "an option that there is not": (["+callbacks.unfreeze.groups.backbone.eps=1"], "give at, and"),
    "two learning rates": (
        ["+callbacks.unfreeze.groups.backbone.lr=1"],
        "give at, and lr or lr_scale",
    ),
    "a learning rate of 0": (
        ["callbacks.unfreeze.groups.backbone.lr_scale=0"],
        "give a number above 0",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_invalid_configuration_is_refused_in_one_line_before_training(run, what):
    overrides, message = REFUSED[what]
    with pytest.raises(ValueError, match=message) as raised:
        run(*UNFREEZE, "trainer.max_steps=4", *overrides)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("share", ["0%", "100%", "120%", "rest", "half", 0, -1, 0.5, True, None])
def test_a_moment_outside_the_run_is_refused(share):
    with pytest.raises(ValueError, match="above 0% and below 100%"):
        Unfreeze({"backbone": share})


def test_a_share_is_rounded_up(run):
    finished = run(*UNFREEZE, "callbacks.unfreeze.groups.backbone.at=30%", "trainer.max_steps=9")
    assert min(finished.curve("lr/backbone")) == math.ceil(0.3 * 9)
