"""Every optimizer and every schedule, stopped at every kind of step, continues bit for bit."""

import itertools

import pytest
from conftest import names
from own_loaders import LOADERS, own
from resuming import (
    EPOCH,
    MIDDLE,
    SCHEDULES,
    TASK,
    VALIDATION,
    check_exact,
    check_pair,
    check_stop,
    task_of,
)

STOPS = [1, MIDDLE, VALIDATION, EPOCH - 1, EPOCH, EPOCH + 1]


def paired():
    """Every optimizer and every schedule at least once, in as few runs."""
    optimizers, schedulers = names("optimizer"), names("scheduler")
    for index in range(max(len(optimizers), len(schedulers))):
        yield optimizers[index % len(optimizers)], schedulers[index % len(schedulers)]


@pytest.mark.parametrize(("optimizer", "scheduler"), list(paired()))
def test_every_optimizer_and_every_schedule_continues_exactly(run, optimizer, scheduler):
    check_pair(run, optimizer, scheduler)


@pytest.mark.parametrize("optimizer", names("optimizer"))
def test_every_optimizer_continues_exactly(run, optimizer):
    check_exact(run, [*task_of(optimizer), f"optimizer={optimizer}"], VALIDATION, "sigterm")


# LBFGS takes one group, and the task with sparse gradients has one tensor.
@pytest.mark.parametrize(
    "optimizer", [name for name in names("optimizer") if name not in ("lbfgs", "sparse_adam")]
)
def test_every_optimizer_continues_exactly_with_groups(run, optimizer):
    rule = "+param_groups.small={ndim: 1, lr_scale: 0.5}"
    check_exact(run, [*TASK, f"optimizer={optimizer}", rule], MIDDLE, "sigterm")


@pytest.mark.parametrize("scheduler", names("scheduler"))
def test_every_schedule_continues_exactly_over_groups(run, scheduler):
    overrides = ["optimizer=sgd", "optimizer.momentum=0.9", "param_groups=layerwise"]
    check_exact(run, [*TASK, *overrides, f"scheduler={scheduler}"], EPOCH, "sigterm")


@pytest.mark.parametrize(
    ("scheduler", "step", "way"),
    list(itertools.product(SCHEDULES, STOPS, ["crash", "sigterm"])),
)
def test_it_does_not_matter_where_the_run_was_stopped(run, scheduler, step, way):
    check_stop(run, scheduler, step, way)


@pytest.mark.parametrize("step", [7, 8, 10, 14], ids="step {}".format)
@pytest.mark.parametrize("kind", [kind for kind in LOADERS if kind != "iterator"])
def test_every_kind_of_loader_continues_exactly(run, kind, step):
    # An epoch has 7 batches, and a validation follows step 8; the model draws random numbers.
    check_exact(run, own(kind), step, steps=16)
