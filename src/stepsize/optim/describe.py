"""An optimizer's parameter groups as a table: one line, plain text or Markdown, and its log."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler, SequentialLR

from stepsize.optim.param_groups import DEFAULT_GROUP, ParamGroup
from stepsize.optim.plan import Plan, class_names

log = logging.getLogger(__name__)

Table = list[list[str]]  # rows of cells, the header first

# Keys of a torch group without a column of their own among the options: those with a fixed column,
# and those that schedulers write.
_NO_OPTION = {
    "params", "param_names", "name", "lr", "weight_decay",
    "initial_lr", "max_lr", "min_lr", "swa_lr", "base_momentum", "max_momentum",
}  # fmt: skip


def log_groups(trainer: pl.Trainer, plan: Plan | None) -> None:
    """Log the groups as they are now, on the console and among TensorBoard's TEXT.

    Args:
        trainer: has the optimizers, schedulers and loggers.
        plan: knows the groups that are still frozen; None where there is no plan.
    """
    if not trainer.is_global_zero:
        return
    frozen = [
        group
        for group in (plan.frozen.values() if plan else ())
        if not group.parameters[0][1].requires_grad
    ]
    for index, optimizer in enumerate(trainer.optimizers):
        configs = trainer.lr_scheduler_configs
        schedulers = [c.scheduler for c in configs if c.scheduler.optimizer is optimizer]
        table = group_table(optimizer, plan.lrs if plan else {}, frozen)
        log.info(as_text(optimizer, table, schedulers))
        tag = "parameter groups" if len(trainer.optimizers) == 1 else f"parameter groups/{index}"
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                text = as_markdown(optimizer, table, schedulers)
                logger.experiment.add_text(tag, text, trainer.global_step)


def group_table(
    optimizer: Optimizer,
    lrs: Mapping[str, float | None],
    frozen: Iterable[ParamGroup] = (),
) -> Table:
    """A row for each parameter group, the header first.

    Args:
        optimizer: the optimizer of the groups.
        lrs: learning rates by group name, before a schedule has changed those in the optimizer.
        frozen: groups that are not trained, listed last.

    Returns:
        Name, number of tensors and of parameters, learning rate, weight decay, and every option
        whose value differs between groups; columns without any value are dropped.
    """
    groups = optimizer.param_groups
    own = [group.get("initial_lr", group.get("lr")) for group in groups]
    differing = [
        key
        for key in dict.fromkeys(key for group in groups for key in group)
        if key not in _NO_OPTION and len({repr(group[key]) for group in groups if key in group}) > 1
    ]
    rows = [
        [
            str(group.get("name", index)),
            *_sizes(group["params"]),
            _formatted(lrs.get(group.get("name", "")) or own[index]),
            _formatted(group.get("weight_decay")),
            *(_formatted(group.get(key)) for key in differing),
        ]
        for index, group in enumerate(groups)
    ]
    for group in frozen:
        sizes = _sizes([parameter for _, parameter in group.parameters])
        rows.append([group.name, *sizes, "frozen", "", *[""] * len(differing)])
    header = ["group", "tensors", "parameters", "lr", "weight decay", *differing]
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return [[row[i] for i in kept] for row in [header, *rows]]


def as_text(optimizer: Optimizer, table: Table, schedulers: Sequence[LRScheduler] = ()) -> str:
    """The table in aligned columns below a title; one line if ``default`` is the only group."""
    if [row[0] for row in table[1:]] == [DEFAULT_GROUP]:
        return _one_line(optimizer, table, schedulers)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [_title(optimizer, schedulers)]
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip())
    return "\n".join(lines)


def as_markdown(optimizer: Optimizer, table: Table, schedulers: Sequence[LRScheduler] = ()) -> str:
    """The table in Markdown below a title."""
    header, *rows = ([cell.replace("|", "\\|") for cell in row] for row in table)
    rule = ["---", *["---:"] * (len(header) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in [header, rule, *rows]]
    return "\n".join([_title(optimizer, schedulers), "", *lines])


def _title(optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> str:
    """For example "Adam with 2 parameter groups, under CosineAnnealingLR"."""
    count = len(optimizer.param_groups)
    groups = f"{count} parameter group{'' if count == 1 else 's'}"
    return f"{class_names(optimizer)} with {groups}{_under(schedulers)}"


def _one_line(optimizer: Optimizer, table: Table, schedulers: Sequence[LRScheduler]) -> str:
    """For example "Adam over 4 tensors, 61 parameters: lr 0.001"."""
    cells = dict(zip(*table, strict=True))
    tensors, parameters = cells.pop("tensors"), cells.pop("parameters")
    cells.pop("group")
    if cells.get("weight decay") == "0":
        cells.pop("weight decay")
    options = ", ".join(f"{key} {value}" for key, value in cells.items())
    return (
        f"{class_names(optimizer)} over {tensors} "
        f"tensor{'' if tensors == '1' else 's'}, "
        f"{parameters} parameter{'' if parameters == '1' else 's'}"
        f"{f': {options}' if options else ''}{_under(schedulers)}"
    )


def _under(schedulers: Sequence[LRScheduler]) -> str:
    return f", under {' and '.join(map(_schedule, schedulers))}" if schedulers else ""


def _schedule(scheduler: LRScheduler) -> str:
    if isinstance(scheduler, (SequentialLR, ChainedScheduler)):
        between = " then " if isinstance(scheduler, SequentialLR) else " times "
        return between.join(map(_schedule, scheduler._schedulers))
    return type(scheduler).__name__


def _sizes(parameters: Sequence[nn.Parameter]) -> tuple[str, str]:
    """The number of tensors, and of the parameters in them."""
    return f"{len(parameters):,}", f"{sum(parameter.numel() for parameter in parameters):,}"


def _formatted(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_formatted, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)
