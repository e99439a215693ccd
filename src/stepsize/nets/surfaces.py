"""Functions to minimise directly: their only parameter is the point ``x``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Quadratic(nn.Module):
    """1/2 x'Hx with a chosen spectrum; the minimum is 0, at x = 0.

    The point ``x`` ``[dim]`` is drawn from N(0, 1) with the global random generator.
    H = Q diag(eigenvalues) Q' depends on the arguments alone. It is stored as its square root
    R = diag(sqrt(eigenvalues)) Q', and the value is 1/2 |Rx|^2, which is never negative.
    Single-precision rounding of H itself would change the small eigenvalues by about 1e-7 times the
    largest, and make them negative from ``condition=1e7`` on.

    Args:
        dim: Number of dimensions.
        condition: Largest over smallest eigenvalue; the smallest is 1.
        spectrum: How the eigenvalues lie between them: ``geometric`` (equal ratios), ``linear``
            (equal distances), or the positive eigenvalues themselves, which then also decide
            ``dim`` and ``condition``.
        rotate: Rotate the axes at random. Otherwise H is diagonal, and the coordinates do not
            interact.
        seed: Decides the rotation; the run's seed does not.

    Attributes:
        dim: Number of dimensions.
        eigenvalues: The ``dim`` eigenvalues of H, smallest first unless given otherwise.
        minimum: The smallest value, 0.

    Raises:
        ValueError: A ``dim`` or ``condition`` below 1, an unknown spectrum, an eigenvalue that
            is not positive and finite, or one dimension with a condition other than 1.
    """

    minimum = 0.0
    root: Tensor

    def __init__(
        self,
        dim: int = 10,
        condition: float = 100.0,
        spectrum: str | Sequence[float] = "geometric",
        rotate: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        eigenvalues = _eigenvalues(dim, condition, spectrum)
        self.dim = len(eigenvalues)
        self.eigenvalues = tuple(eigenvalues.tolist())
        root = eigenvalues.sqrt().diag()
        if rotate:
            root = root @ _rotation(self.dim, seed)
        # Not in checkpoints: it is a function of the arguments, which the configuration decides.
        self.register_buffer("root", root.to(torch.get_default_dtype()), persistent=False)
        self.x = nn.Parameter(torch.randn(self.dim))

    @property
    def hessian(self) -> Tensor:
        """The matrix H, ``[dim, dim]``."""
        return self.root.T @ self.root

    def surface(self, points: Tensor) -> Tensor:
        """Value at every point: ``[..., dim]`` to ``[...]``."""
        return 0.5 * (points @ self.root.T).square().sum(-1)

    def forward(self) -> Tensor:
        """Value at ``x``, a scalar."""
        return self.surface(self.x)


class Rosenbrock(nn.Module):
    """(a - x0)^2 + b (x1 - x0^2)^2: a curved valley; the minimum is 0, at (a, a^2).

    From H. H. Rosenbrock, "An automatic method for finding the greatest or least value of a
    function", The Computer Journal 3 (1960). Nothing is random: x is the same for all seeds.

    Args:
        start: The initial point ``x`` ``[2]``.
        a: First coordinate of the minimum.
        b: Steepness of the valley's walls.

    Attributes:
        dim: Number of dimensions, 2.
        minimum: The smallest value, 0.

    Raises:
        ValueError: A start that is not two numbers, or ``b`` not positive.
    """

    dim = 2
    minimum = 0.0

    def __init__(
        self, start: Sequence[float] = (-1.2, 1.0), a: float = 1.0, b: float = 100.0
    ) -> None:
        super().__init__()
        if len(start) != 2:
            raise ValueError(f"Rosenbrock: start must be two numbers, got {list(start)}")
        if not b > 0:
            raise ValueError(f"Rosenbrock: b must be positive, got {b}")
        self.a = a
        self.b = b
        self.x = nn.Parameter(torch.tensor([float(value) for value in start]))

    def surface(self, points: Tensor) -> Tensor:
        """Value at every point: ``[..., 2]`` to ``[...]``."""
        x, y = points.unbind(-1)
        return (self.a - x).square() + self.b * (y - x.square()).square()

    def forward(self) -> Tensor:
        """Value at ``x``, a scalar."""
        return self.surface(self.x)


def _eigenvalues(dim: int, condition: float, spectrum: str | Sequence[float]) -> Tensor:
    if not isinstance(spectrum, str):
        values = [float(value) for value in spectrum]
        if not values or not all(0 < value < math.inf for value in values):
            raise ValueError(
                f"Quadratic: a spectrum must be one or more positive numbers, got {values}"
            )
        return torch.tensor(values, dtype=torch.float64)
    if not (isinstance(dim, int) and dim >= 1):
        raise ValueError(f"Quadratic: dim must be an integer of 1 or more, got {dim}")
    if not 1 <= condition < math.inf:
        raise ValueError(
            f"Quadratic: condition must be a finite number of 1 or more, got {condition}"
        )
    if dim == 1 and condition != 1:
        raise ValueError(
            f"Quadratic: one dimension has one eigenvalue, so condition must be 1, got {condition}"
        )
    if spectrum == "geometric":
        return torch.logspace(0, math.log10(condition), dim, dtype=torch.float64)
    if spectrum == "linear":
        return torch.linspace(1, condition, dim, dtype=torch.float64)
    raise ValueError(
        f"Quadratic: unknown spectrum {spectrum!r}; allowed: geometric, linear, "
        f"or a list of positive numbers"
    )


def _rotation(dim: int, seed: int) -> Tensor:
    """Draw a uniformly distributed orthogonal matrix (Mezzadri, 2007, arXiv:math-ph/0609050)."""
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(dim, dim, dtype=torch.float64, generator=generator)
    q, r = torch.linalg.qr(gaussian)
    return q * r.diagonal().sign()
