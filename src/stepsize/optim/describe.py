"""An optimizer's parameter groups as a table: one line, plain text or Markdown."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler, SequentialLR

from stepsize.callbacks.lightning_overhead import LeanCallback
from stepsize.optim.configure import PlanReader
from stepsize.optim.param_groups import DEFAULT_GROUP, ParamGroup
from stepsize.optim.plan import Plan

Table = list[list[str]]

# Not the group's own: schedulers write these, and the rate that a group starts from at the moment.
_HIDDEN = {
    "params", "param_names", "name", "lr", "weight_decay",
    "initial_lr", "max_lr", "min_lr", "swa_lr", "base_momentum", "max_momentum",
}  # fmt: skip


def group_table(
    optimizer: Optimizer,
    rates: Mapping[str, float | None],
    frozen: Iterable[ParamGroup] = (),
) -> Table:
    """A row for each group, the header first.

    Args:
        optimizer: whose groups they are.
        rates: the groups' own rates by name; a schedule has changed what stands in the groups.
        frozen: groups that take no updates, listed last.

    Returns:
        Name, number of tensors and of parameters, own rate, weight decay, and every option that
        differs between groups that have it; columns in which nothing stands are left out.
    """
    groups = optimizer.param_groups
    own = [group.get("initial_lr", group.get("lr")) for group in groups]
    differing = [
        key
        for key in dict.fromkeys(key for group in groups for key in group)
        if key not in _HIDDEN and len({repr(group[key]) for group in groups if key in group}) > 1
    ]
    rows = [
        [
            str(group.get("name", index)),
            f"{len(group['params']):,}",
            f"{_count(group['params']):,}",
            _shown(rates.get(group.get("name", "")) or own[index]),
            _shown(group.get("weight_decay")),
            *(_shown(group.get(key)) for key in differing),
        ]
        for index, group in enumerate(groups)
    ]
    for group in frozen:
        parameters = [parameter for _, parameter in group.parameters]
        rows.append([group.name, f"{len(parameters):,}", f"{_count(parameters):,}", "frozen"])
    header = ["group", "tensors", "parameters", "lr", "weight decay", *differing]
    rows = [[*row, *[""] * (len(header) - len(row))] for row in rows]
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return [[row[i] for i in kept] for row in [header, *rows]]


def is_plain(table: Table) -> bool:
    """Whether there is one group, ``default``, and nothing is frozen."""
    return [row[0] for row in table[1:]] == [DEFAULT_GROUP]


def title(optimizer: Optimizer, schedulers: Sequence[LRScheduler] = ()) -> str:
    """What stands above the table: "Adam with 2 parameter groups, under CosineAnnealingLR"."""
    count = len(optimizer.param_groups)
    groups = f"{count} parameter group{'' if count == 1 else 's'}"
    return f"{_class_names(optimizer)} with {groups}{_under(schedulers)}"


def one_line(optimizer: Optimizer, table: Table, schedulers: Sequence[LRScheduler] = ()) -> str:
    """The table of a single group: "Adam over 4 tensors, 61 parameters: lr 0.001"."""
    cells = dict(zip(*table, strict=True))
    tensors, parameters = cells.pop("tensors"), cells.pop("parameters")
    cells.pop("group")
    if cells.get("weight decay") == "0":
        cells.pop("weight decay")
    options = ", ".join(f"{key} {value}" for key, value in cells.items())
    return (
        f"{_class_names(optimizer)} over {tensors} tensor{'' if tensors == '1' else 's'}, "
        f"{parameters} parameter{'' if parameters == '1' else 's'}"
        f"{f': {options}' if options else ''}{_under(schedulers)}"
    )


def plain_text(table: Table) -> str:
    """Aligned columns: names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(table: Table) -> str:
    """As TensorBoard's TEXT shows it."""
    header, *rows = ([cell.replace("|", "\\|") for cell in row] for row in table)
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return f"({', '.join(_shown(item) for item in value)})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _class_names(optimizer: Optimizer) -> str:
    parts = getattr(optimizer, "optimizers", (optimizer,))
    return " and ".join(type(part).__name__ for part in parts)


def _under(schedulers: Sequence[LRScheduler]) -> str:
    return f", under {' and '.join(map(_schedule, schedulers))}" if schedulers else ""


def _schedule(scheduler: LRScheduler) -> str:
    if isinstance(scheduler, (SequentialLR, ChainedScheduler)):
        between = " then " if isinstance(scheduler, SequentialLR) else " times "
        return between.join(map(_schedule, scheduler._schedulers))
    return type(scheduler).__name__


log = logging.getLogger(__name__)


class GroupTable(PlanReader, LeanCallback):
    """Logs what is trained at which rate; every run has one.

    A single group is one short line on the console. The rates are the groups' own, which the
    schedule multiplies: at the first step of a warm-up they would be misleading.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        show_groups(trainer, self.plan)


def show_groups(trainer: pl.Trainer, plan: Plan | None) -> None:
    """Show the groups as they are now.

    Args:
        trainer: its optimizers, and its loggers.
        plan: knows the groups that are still frozen; None where there is none.
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
        table = group_table(optimizer, plan.rates if plan else {}, frozen)
        heading = title(optimizer, schedulers)
        if is_plain(table):
            log.info(one_line(optimizer, table, schedulers))
        else:
            log.info("%s\n%s", heading, plain_text(table))
        tag = "parameter groups" if len(trainer.optimizers) == 1 else f"parameter groups/{index}"
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                text = f"{heading}\n\n{markdown(table)}"
                logger.experiment.add_text(tag, text, trainer.global_step)
