"""Shows the parameter groups before training: on the console, in train.log, in TensorBoard."""

from __future__ import annotations

import logging

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger

from stepsize.callbacks.lean import LeanCallback
from stepsize.optim.configure import PlanReader
from stepsize.optim.plan import Plan
from stepsize.optim.table import group_table, is_plain, markdown, one_line, plain_text, title

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
