"""The optima of linear and logistic regression, in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_MAX_NEWTON_STEPS = 200
_CONVERGED = 1e-7  # largest relative change of a logit in the last step; Newton squares it
_ROUNDING = 1e-10  # a margin this far below zero, relative to row and direction, counts as zero


@dataclass(frozen=True, eq=False)
class Optimum:
    """A minimum and its weights, in the shapes of ``torch.nn.Linear``, float64.

    Attributes:
        value: The smallest value of the objective.
        weight: ``[k, d]``.
        bias: ``[k]``.
        gradient_norm: Euclidean norm of the objective's gradient there, which is rounding only.
    """

    value: float
    weight: Tensor
    bias: Tensor
    gradient_norm: float


def least_squares(x: Tensor, y: Tensor) -> Optimum:
    """Minimum over W and b of mean((xW' + b - y)^2), the mean over all n * k entries.

    Where many W have the minimal value, the one of smallest norm is returned.

    Args:
        x: Inputs ``[n, d]``.
        y: Targets ``[n, k]``.

    Raises:
        ValueError: Wrong shapes, no rows, or numbers that are not finite.
    """
    x, y = _checked("least_squares", x), _checked("least_squares", y)
    if len(x) != len(y):
        raise ValueError(f"least_squares: x has {len(x)} rows, y has {len(y)}")
    x_mean, y_mean = x.mean(0), y.mean(0)
    weight = torch.linalg.lstsq(x - x_mean, y - y_mean, driver="gelsd").solution.T
    bias = y_mean - weight @ x_mean
    residual = x @ weight.T + bias - y
    gradient = 2 / residual.numel() * torch.cat([residual.T @ x, residual.sum(0)[:, None]], dim=1)
    return Optimum(residual.square().mean().item(), weight, bias, gradient.norm().item())


def logistic(x: Tensor, y: Tensor, l2: float = 0.0) -> Optimum | None:
    """Minimum over w and b of mean binary cross-entropy with logits xw + b, plus l2/2 |w|^2.

    Damped Newton. The bias is not penalised. A minimum is returned only when a Newton step is so
    small that the next one would be rounding. Where many weights have the minimal value, the
    scales of the columns decide which of them are returned.

    There is no minimum when all labels are equal, nor, without the penalty, when a direction
    separates the classes: signed margins >= 0 on every row and > 0 on some, so that the objective
    decreases along it without end (Albert and Anderson, Biometrika 71, 1984). Every iterate and
    every Newton step is tested for being such a direction. One that passes is the proof, and on
    separable data the iteration finds one. Classes that overlap by less than a relative 1e-10 count
    as separable.

    Args:
        x: Inputs ``[n, d]``.
        y: Labels ``[n]``, 0 or 1.
        l2: Strength of the penalty.

    Returns:
        The minimum, with ``weight`` ``[1, d]`` and ``bias`` ``[1]``; None if there is no finite
        one, or if Newton's method did not converge.

    Raises:
        ValueError: Wrong shapes, no rows, numbers that are not finite, labels other than 0 and
            1, or a negative ``l2``.
    """
    x = _checked("logistic", x)
    labels = y.detach().to("cpu", torch.float64)
    if labels.shape != x.shape[:1]:
        raise ValueError(
            f"logistic: y must be one label for each of the {len(x)} rows, got {list(y.shape)}"
        )
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError(f"logistic: labels must be 0 or 1, got {labels.unique().tolist()[:5]}")
    if not 0 <= l2 < math.inf:
        raise ValueError(f"logistic: l2 must be a finite number of 0 or more, got {l2}")
    if (labels == labels[0]).all():
        return None
    x_mean = x.mean(0)
    # Each row times its sign, so that a logit becomes a margin and a loss -log sigmoid(margin).
    signed = (2 * labels - 1)[:, None] * functional.pad(x - x_mean, (0, 1), value=1.0)
    penalty = math.sqrt(l2) * torch.eye(x.shape[1], x.shape[1] + 1, dtype=torch.float64)
    basis = _basis(signed, l2)
    solution = _newton(signed @ basis, penalty @ basis)
    if solution is None:
        return None
    theta = basis @ solution
    weight, bias = theta[:-1], theta[-1:] - theta[:-1] @ x_mean
    gradient = _gradient(signed, penalty, theta)
    gradient[:-1] += x_mean * gradient[-1]
    value = _objective(signed, penalty, theta)
    return Optimum(value, weight[None], bias, gradient.norm().item())


def _checked(caller: str, values: Tensor) -> Tensor:
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(
            f"{caller}: expected a non-empty matrix [rows, columns], got {list(values.shape)}"
        )
    if not values.isfinite().all():
        raise ValueError(f"{caller}: the data hold numbers that are not finite")
    return values.detach().to("cpu", torch.float64)


def _basis(signed: Tensor, l2: float) -> Tensor:
    # Coordinates in which Newton is well posed for any scales of the columns: equilibrated, and
    # without a penalty also orthonormal on the data, which removes the flat directions.
    scale = signed.square().mean(0).sqrt()
    scale[scale == 0] = 1.0
    if l2 > 0:
        return (1 / scale).diag()
    _, singular, rows = torch.linalg.svd(signed / scale, full_matrices=False)
    keep = singular > _rank_tolerance(signed) * singular[0]
    return (rows[keep] / scale).T / singular[keep]


def _rank_tolerance(matrix: Tensor) -> float:
    return max(matrix.shape) * torch.finfo(torch.float64).eps


def _objective(signed: Tensor, penalty: Tensor, theta: Tensor) -> float:
    losses = -functional.logsigmoid(signed @ theta)
    return (losses.mean() + 0.5 * (penalty @ theta).square().sum()).item()


def _gradient(signed: Tensor, penalty: Tensor, theta: Tensor) -> Tensor:
    errors = torch.sigmoid(-(signed @ theta)) / len(signed)
    return penalty.T @ (penalty @ theta) - signed.T @ errors


def _newton(signed: Tensor, penalty: Tensor) -> Tensor | None:
    theta = signed.new_zeros(signed.shape[1])
    for _ in range(_MAX_NEWTON_STEPS):
        step = _newton_step(signed, penalty, theta)
        if step is None:
            return None
        if not penalty.any() and (_separates(signed, theta) or _separates(signed, step)):
            return None
        change = (signed @ step).abs() / (1 + (signed @ theta).abs())
        if change.max() <= _CONVERGED:
            return theta + step
        theta = theta + _step_length(signed, penalty, theta, step) * step
    return None


def _newton_step(signed: Tensor, penalty: Tensor, theta: Tensor) -> Tensor | None:
    # H = A'A, and the singular values of A are accurate to twice as many digits as those of H.
    margins = signed @ theta
    scale = (torch.sigmoid(margins) * torch.sigmoid(-margins) / len(signed)).sqrt()
    factor = torch.cat([scale[:, None] * signed, penalty])
    _, singular, rows = torch.linalg.svd(factor, full_matrices=False)
    if singular[-1] <= _rank_tolerance(factor) * singular[0]:
        return None
    return -rows.T @ (rows @ _gradient(signed, penalty, theta) / singular.square())


def _step_length(signed: Tensor, penalty: Tensor, theta: Tensor, step: Tensor) -> float:
    value = _objective(signed, penalty, theta)
    slope = (_gradient(signed, penalty, theta) @ step).item()
    length = 1.0
    # The last term allows for the rounding of two nearly equal values.
    while _objective(signed, penalty, theta + length * step) > (
        value + 1e-4 * length * slope + 1e-14 * (1 + value)
    ):
        length /= 2
    return length


def _separates(signed: Tensor, direction: Tensor) -> bool:
    margins = signed @ direction
    rounding = _ROUNDING * signed.norm(dim=1) * direction.norm()
    return bool((margins >= -rounding).all() and (margins > rounding).any())
