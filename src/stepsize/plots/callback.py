"""The base class of all plots: a callback that draws once, when training or its sweep ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger

from stepsize.callbacks.lightning_overhead import LeanCallback
from stepsize.optim.plan import class_names
from stepsize.run.atomic import replacing
from stepsize.run.errors import one_line

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from torch.optim import Optimizer

log = logging.getLogger(__name__)


class Plot(LeanCallback):
    """Saves ``<name>.png`` and logs it as ``plot/<name>`` among TensorBoard's IMAGES.

    Subclasses set ``name`` and write ``draw``. A plot that cannot be drawn is a warning; the run
    does not fail. A plot may also be drawn later from the checkpoint: what it collects while the
    run trains belongs into its ``state_dict``.

    Args:
        dirpath: the folder.
        title: begins the title, as in "curve with Adam after 2,000 steps: ...".

    Attributes:
        draws_at_end: False where the plot is only prepared, and drawn from the checkpoint or never.
    """

    name: str

    def __init__(self, dirpath: str, title: str) -> None:
        self.file = Path(dirpath) / f"{self.name}.png"
        self.title = title
        self.draws_at_end = True

    @property
    def tag(self) -> str:
        """Its name in TensorBoard."""
        return f"view/{self.name}"

    def draw(self, figure: Figure, module: pl.LightningModule, data: Any) -> str:
        """Draw into an empty figure of 6 x 4 inches.

        Called in evaluation mode and without gradients. The global random generators are restored
        afterwards.

        Args:
            figure: where to add axes.
            module: the trained module, on any device.
            data: the run's data module, its tensors on the CPU.

        Returns:
            The end of the title, such as "mean squared error 0.0101".

        Raises:
            ValueError: the module or the data cannot be drawn in this kind of plot.
        """
        raise TypeError(f"{type(self).__name__} must define draw(figure, module, data) -> str")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not (trainer.is_global_zero and self.draws_at_end):
            return
        data = getattr(trainer, "datamodule", None)
        with self.errors_as_warnings():
            image = self.save(pl_module, data, trainer.optimizers, trainer.global_step)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    step = trainer.global_step
                    logger.experiment.add_image(self.tag, image, step, dataformats="HWC")

    @contextmanager
    def errors_as_warnings(self) -> Iterator[None]:
        """Turn an error into a warning of one line, because a plot must not cost a run."""
        try:
            yield
        except Exception as error:
            log.debug("drawing %s raised this error", self.file.name, exc_info=True)
            log.warning("%s was not drawn: %s", self.file.name, one_line(error))

    def save(
        self, module: pl.LightningModule, data: Any, optimizers: Sequence[Optimizer], steps: int
    ) -> np.ndarray:
        """Draw a trained module and write the PNG.

        Args:
            module: its modes, and the random generators, are restored afterwards.
            data: the run's data module.
            optimizers: the title names their classes.
            steps: the optimizer steps of the title.

        Returns:
            The plot as an array of bytes ``[height, width, 3]``.

        Raises:
            ValueError: the module or the data cannot be drawn in this kind of plot.
        """
        from matplotlib.image import imsave

        from stepsize.plots.style import DPI, rendered, styled, write_title

        with _evaluating(module), styled() as figure:
            result = self.draw(figure, module, data)
            after = f"{steps:,} step{'' if steps == 1 else 's'}"
            names = class_names(*optimizers)
            write_title(figure, f"{self.title} with {names} after {after}: {result}")
            image = rendered(figure)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.file) as part:
            imsave(part, image, format="png", dpi=DPI)
        return image


@contextmanager
def _evaluating(module: pl.LightningModule) -> Iterator[None]:
    """Evaluation mode without gradients; modes and random generators are restored afterwards."""
    modes = {part: part.training for part in module.modules()}
    cuda = [module.device] if module.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(cuda):
        module.eval()
        try:
            yield
        finally:
            for part, mode in modes.items():
                part.training = mode
