"""The layout of a model's parameters in one row of a stack."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """The columns of each parameter in a row, in the model's order.

    Attributes:
        names: the parameters' names, as in ``module.named_parameters()``.
        shapes: their shapes.
        starts: their first columns, followed by the number of columns.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    starts: tuple[int, ...]

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """The layout of a module's parameters."""
        pairs = [(name, parameter.shape) for name, parameter in module.named_parameters()]
        starts = [0]
        for _, shape in pairs:
            starts.append(starts[-1] + prod(shape))
        return cls(tuple(n for n, _ in pairs), tuple(s for _, s in pairs), tuple(starts))

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.starts[-1]

    @property
    def sizes(self) -> list[int]:
        """The number of columns of each parameter."""
        return [end - start for start, end in zip(self.starts, self.starts[1:], strict=False)]

    def columns(self, name: str) -> tuple[int, int]:
        """The first column of a parameter, and the end of its range (exclusive)."""
        index = self.names.index(name)
        return self.starts[index], self.starts[index + 1]

    def ranges(self, names: Iterable[str]) -> list[tuple[int, int]]:
        """The column ranges of several parameters, adjacent ranges merged."""
        found: list[tuple[int, int]] = []
        for start, end in sorted(self.columns(name) for name in names):
            if found and found[-1][1] == start:
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
        return found

    def split(self, row: Tensor) -> dict[str, Tensor]:
        """The parameters of one run as views of its row [width]; differentiable."""
        parts = row.split(self.sizes)
        return {
            name: part.view(shape)
            for name, part, shape in zip(self.names, parts, self.shapes, strict=True)
        }

    def row(self, module: nn.Module) -> Tensor:
        """The values of a module's parameters as a row [width]."""
        return torch.cat([p.detach().reshape(-1) for p in module.parameters()])
