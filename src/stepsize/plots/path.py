"""The path of a point in the plane, stored in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_MOST = 20_000


class Path:
    """Points by step, thinned out evenly: beyond ``most`` points, every other one is dropped.

    Args:
        most: the largest number of points.

    Attributes:
        stride: points are stored at the multiples of this number of steps.
    """

    def __init__(self, most: int = _MOST) -> None:
        self.most = most
        self.stride = 1
        self._points: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._points)

    def wants(self, step: int) -> bool:
        """Whether the point at this step is needed and not yet stored."""
        return step % self.stride == 0 and step not in self._points

    def add(self, step: int, point: Tensor) -> None:
        """Store a point ``[2]``, which must not change afterwards. It may stay on its device."""
        self._points[step] = point
        if len(self._points) > self.most:
            self.stride *= 2
            self._points = {s: p for s, p in self._points.items() if s % self.stride == 0}

    def map(self, change: Callable[[Tensor], Tensor]) -> Path:
        """A path of the same steps, with ``change`` applied to each point."""
        path = Path(self.most)
        path.stride = self.stride
        path._points = {step: change(point) for step, point in self._points.items()}
        return path

    def steps(self) -> Tensor:
        """The steps ``[n]`` of the points, int64."""
        return torch.tensor(list(self._points), dtype=torch.int64)

    def points(self) -> Tensor:
        """The points ``[n, 2]`` on the CPU."""
        if not self._points:
            return torch.zeros(0, 2)
        return torch.stack([point.cpu() for point in self._points.values()])

    def state_dict(self) -> dict[str, Any]:
        return {
            "stride": torch.tensor(self.stride),
            "steps": self.steps(),
            "points": self.points(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.stride = int(state_dict["stride"])
        steps = state_dict["steps"].tolist()
        self._points = dict(zip(steps, state_dict["points"].unbind(), strict=True))
