"""Every optimizer on every task and under every schedule: five steps without a Trainer."""

import copy
import math
from functools import cache

import pytest
import torch
from conftest import CONF, composed, names
from every_pair import COMPATIBLE, INCOMPATIBLE, OVERRIDES
from omegaconf import OmegaConf
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stepsize.config.instantiate import instantiate
from stepsize.optim import build_schedule, sparse_parameter_names
from stepsize.optim.compatibility import needs_graph
from stepsize.optim.plan import build_optimizer

STEPS = 5
# Too long for the first five steps: RMSprop's first ones are ten times its learning rate.
SHORTER = {("rmsprop", "digits_mlp"): ("optimizer.lr=1e-3",)}

pytestmark = pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")


@pytest.fixture(autouse=True, scope="module")
def _sparse_gradients_without_a_warning():
    torch.sparse.check_sparse_tensor_invariants.disable()  # torch's default, explicit


@cache
def config_of(group, name, overrides=()):
    """One part of the configuration, as plain containers."""
    cfg = composed(f"{group}={name}", *overrides, folder=CONF)
    return OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)


@cache
def task_of(name):
    """The module of a task at its first weights, and its first batch."""
    config = config_of("task", name)
    torch.manual_seed(0)
    data, module = instantiate(config["data"]), instantiate(config["model"])
    data.setup("fit")
    return module, next(iter(data.train_dataloader()))


def build(module, optimizer, overrides=()):
    config = config_of("optimizer", optimizer, overrides)["optimizer"]
    return build_optimizer(config, module.named_parameters(), sparse=sparse_parameter_names(module))


def take_step(module, batch, optimizer):
    """One optimizer step as Lightning takes it: the optimizer calls the closure."""
    graph = needs_graph(type(optimizer))

    def closure():
        optimizer.zero_grad()
        loss = module.step(batch).loss
        loss.backward(create_graph=graph)
        return loss

    return optimizer.step(closure).item()


@pytest.mark.parametrize(("optimizer", "task"), COMPATIBLE)
def test_five_steps_of_every_compatible_pair_reduce_the_loss(optimizer, task):
    module, batch = task_of(task)
    module = copy.deepcopy(module)
    built = build(module, optimizer, {**OVERRIDES, **SHORTER}.get((optimizer, task), ()))
    if hasattr(built, "train"):
        built.train()
    losses = [take_step(module, batch, built) for _ in range(STEPS)]
    losses.append(module.step(batch).loss.item())
    module.zero_grad()
    assert all(map(math.isfinite, losses))
    assert min(losses[1:]) < losses[0]


@pytest.mark.parametrize(("optimizer", "task"), sorted(INCOMPATIBLE))
def test_every_incompatible_pair_is_refused_with_a_sentence(optimizer, task):
    with pytest.raises(ValueError, match=INCOMPATIBLE[optimizer, task]) as raised:
        build(task_of(task)[0], optimizer)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("scheduler", [name for name in names("scheduler") if name != "none"])
@pytest.mark.parametrize("optimizer", names("optimizer"))
def test_every_optimizer_steps_under_every_schedule(optimizer, scheduler):
    task = {"muon": "digits_mlp", "sparse_adam": "digits_sparse"}.get(optimizer, "line")
    module, batch = task_of(task)
    module = copy.deepcopy(module)
    built = build(module, optimizer)
    config = copy.deepcopy(config_of("scheduler", scheduler)["scheduler"])
    entry = build_schedule(
        config, built, total_steps=STEPS, steps_per_epoch=STEPS, monitor="train/loss"
    )
    if hasattr(built, "train"):
        built.train()
    for _ in range(STEPS):
        loss = take_step(module, batch, built)
        assert math.isfinite(loss)
        schedule = entry["scheduler"]
        schedule.step(*([loss] if isinstance(schedule, ReduceLROnPlateau) else []))
    module.zero_grad()
