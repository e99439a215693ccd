"""LightningModules: a network with an objective, and one ``configure_optimizers`` for all.

To put your own model in, subclass :class:`Module` and write ``step``. Or keep your own
LightningModule, and let its ``configure_optimizers`` call the function of :mod:`stepsize.optim`::

    return configure_optimizers(self.named_parameters(), self.recipe, self.trainer)
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch.nn.functional as F
from torch import Tensor, nn

from stepsize.data import InMemoryData
from stepsize.optim import Recipe, configure_optimizers, sparse_parameter_names
from stepsize.optim.compatibility import needs_graph
from stepsize.optima.solve import least_squares, logistic


class Step(NamedTuple):
    """The result of one evaluation of the model on a batch.

    Attributes:
        loss: the objective, a scalar, with its graph.
        prediction: the network's output.
        target: what the output should be, of a shape that suits the loss; None if there is none.
    """

    loss: Tensor
    prediction: Tensor
    target: Tensor | None


class Module(pl.LightningModule):
    """A network and an objective; training, validation and test share ``step``.

    Attributes:
        net: the network. Its parameters' names begin with ``net.``, also in ``param_groups``.
        recipe: optimizer, parameter groups and schedule; set by ``stepsize.train.train``. Once
            the optimizer is built, ``recipe.plan`` says which parameters it trains.
        measurement: where a training step puts its metrics, when the callback ``Record`` asks.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.recipe: Recipe | None = None
        self.measurement = Measurement()
        self._keeps_graph = False

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets the running hook's name 44 times a step. nn.Module's own __setattr__ looks
        # for parameters and submodules each time; bypassing it saves a tenth of a small step.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def step(self, batch: Any) -> Step:
        """Evaluate the objective on a batch; a subclass must write this method."""
        raise TypeError(f"{type(self).__name__} must define step(batch) -> Step")

    def metrics(self, step: Step) -> dict[str, Tensor]:
        """Further scalars to log besides the loss, by name: ``{"acc": ...}``."""
        return {}

    def optimum(self, data: InMemoryData) -> float | None:
        """The smallest value that the training objective can take; None if it is not known."""
        return None

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.net(*inputs)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        step = self.step(batch)
        if self.measurement.wanted:
            self.measurement.take({"loss": step.loss, **self.metrics(step)})
        return step.loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._log_evaluation("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._log_evaluation("test", batch)

    def configure_optimizers(self) -> Any:
        if self.recipe is None:
            raise ValueError(
                f"{type(self).__name__}.recipe is not set; give it a stepsize.optim.Recipe"
            )
        self._keeps_graph = any(map(needs_graph, self.recipe.spec.classes))
        sparse = sparse_parameter_names(self)
        return configure_optimizers(self.named_parameters(), self.recipe, self.trainer, sparse)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if not self._keeps_graph:
            super().backward(loss, *args, **kwargs)
            return
        with warnings.catch_warnings():
            # It warns of a reference cycle, which zero_grad breaks in every step.
            warnings.filterwarnings("ignore", message=r"Using backward\(\) with create_graph=True")
            super().backward(loss, *args, create_graph=True, **kwargs)

    def on_train_end(self) -> None:
        if self._keeps_graph:
            self.zero_grad()

    def _log_evaluation(self, phase: str, batch: Any) -> None:
        step = self.step(batch)
        metrics = {"loss": step.loss, **self.metrics(step)}
        batch_size = len(step.prediction) if step.prediction.ndim else 1
        self.log_dict({f"{phase}/{k}": v for k, v in metrics.items()}, batch_size=batch_size)


# Lightning inspects the signature in every step; with this attribute that takes a third as long.
Module.training_step.__signature__ = inspect.signature(Module.training_step)  # type: ignore[attr-defined]


class Regressor(Module):
    """Least squares: batches are ``(*inputs, target)``, prediction and target of shape [n, k]."""

    def step(self, batch: Any) -> Step:
        *inputs, target = batch
        prediction = self(*inputs)
        return Step(F.mse_loss(prediction, target), prediction, target)

    def optimum(self, data: InMemoryData) -> float | None:
        """The closed-form optimum if the network is one linear layer, else None."""
        if not _is_affine(self.net):
            return None
        x, y = data.train
        return least_squares(x, y).value


class Classifier(Module):
    """Cross-entropy over classes: prediction [n, classes], target [n] of whole numbers.

    A network with one output is logistic regression: prediction [n, 1], classes 0 and 1.

    Args:
        net: gives the logits.
        l2: adds ``l2 / 2 * ||W||^2`` over all weights with two or more dimensions to the objective.
            An optimizer's weight decay changes the update only.

    Raises:
        ValueError: a negative ``l2``.
    """

    def __init__(self, net: nn.Module, l2: float = 0.0) -> None:
        super().__init__(net)
        if l2 < 0:
            raise ValueError(f"model.l2={l2}: give a number >= 0")
        self.l2 = l2

    def step(self, batch: Any) -> Step:
        *inputs, target = batch
        logits = self(*inputs)
        if logits.shape[-1] == 1:
            loss = F.binary_cross_entropy_with_logits(logits[:, 0], target.to(logits.dtype))
        else:
            loss = F.cross_entropy(logits, target)
        if self.l2:
            weights = (p for p in self.net.parameters() if p.ndim >= 2)
            loss = loss + self.l2 / 2 * sum(p.square().sum() for p in weights)
        return Step(loss, logits, target)

    def metrics(self, step: Step) -> dict[str, Tensor]:
        """Accuracy as ``acc``, a fraction between 0 and 1."""
        assert step.target is not None
        return {"acc": self.classes(step.prediction).eq(step.target).float().mean()}

    @staticmethod
    def classes(logits: Tensor) -> Tensor:
        """The predicted classes [n] of logits [n, classes] or [n, 1]."""
        return (logits[:, 0] > 0).long() if logits.shape[-1] == 1 else logits.argmax(-1)

    def optimum(self, data: InMemoryData) -> float | None:
        """Newton's optimum for logistic regression; None for other networks, or if none exists."""
        if not (_is_affine(self.net) and self.net.out_features == 1):
            return None
        x, y = data.train
        found = logistic(x, y, l2=self.l2)
        return None if found is None else found.value


class Minimizer(Module):
    """Minimises a function of the network's own parameter ``x``: ``net()`` returns f(x).

    Batches are ``(noise,)``, of the shape of x. The noise is added to the gradient but not to the
    value, so that curves show f itself. At one seed all optimizers get the same noise.
    """

    def step(self, batch: Any) -> Step:
        (noise,) = batch
        value = self.net()
        tilt = noise @ self.net.x
        return Step(value + tilt - tilt.detach(), value, None)

    def optimum(self, data: InMemoryData) -> float | None:
        """The function's own ``minimum``; None if it has none."""
        return getattr(self.net, "minimum", None)


def _is_affine(net: nn.Module) -> bool:
    return type(net) is nn.Linear and net.bias is not None


class Measurement:
    """The metrics of the first evaluation after a request.

    An optimizer with a closure (LBFGS) evaluates the model many times per step. The first
    evaluation is at the weights that the step starts from, which a curve against steps must show.

    Attributes:
        wanted: true from ``ask`` until ``take``.
        values: the metrics by name; empty until they are taken.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.values: dict[str, Tensor] = {}

    def ask(self) -> None:
        self.wanted, self.values = True, {}

    def take(self, values: dict[str, Tensor]) -> None:
        self.wanted, self.values = False, {k: v.detach() for k, v in values.items()}
