"""Numbers that differ from run to run, where torch.optim's own code expects a single number.

Seven learning rates would need seven optimizers, and on small models an optimizer's step is all
Python. :class:`Each` lets one optimizer step all of them: it takes the place of ``group["lr"]``,
follows torch.optim's arithmetic on numbers as an array (``-lr / (1 - beta1 ** step)``), and
becomes a column ``[runs, 1]`` where it meets a tensor ``[runs, columns]``. The updates remain
torch's, operation by operation, in the same order.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SCALED = {"add": "alpha", "sub": "alpha", "addcmul": "value", "addcdiv": "value"}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


class Each(float):
    """One number for each run.

    As a float it is NaN: whatever reads it past this class's operators spoils the result for all
    to see, instead of giving all runs the rate of one.

    Args:
        values: float64, shape [runs].
    """

    __slots__ = ("_columns", "values")
    values: np.ndarray
    _columns: dict[Any, Tensor]

    def __new__(cls, values: np.ndarray) -> Each:
        self = super().__new__(cls, math.nan)
        self.values = values
        self._columns = {}
        return self

    def column(self, like: Tensor) -> Tensor:
        """Shape [runs, 1], of the type and on the device of ``like``."""
        key = like.dtype, like.device
        if key not in self._columns:
            self._columns[key] = torch.from_numpy(self.values[:, None]).to(like.device, like.dtype)
        return self._columns[key]

    def take(self, kept: np.ndarray) -> Each:
        """Those of some runs, by their positions."""
        return Each(self.values[kept])

    def __bool__(self) -> bool:
        return _same(self.values != 0)

    def __neg__(self) -> Each:
        return Each(-self.values)

    __hash__ = None  # type: ignore[assignment]


def _binary(name: str) -> Callable[[Each, Any], Any]:
    reflected = name.startswith("__r")
    operation = getattr(operator, name.strip("_").removeprefix("r") if reflected else name)

    def forward(self: Each, other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented  # a tensor knows better: see EachRun
        values = other.values if type(other) is Each else float(other)
        if reflected:
            return Each(operation(values, self.values))
        return Each(operation(self.values, values))

    return forward


def _comparison(name: str) -> Callable[[Each, Any], bool]:
    operation = getattr(operator, name)

    def compare(self: Each, other: Any) -> bool:
        return _same(operation(self.values, other.values if isinstance(other, Each) else other))

    return compare


for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(Each, f"__{_name}__", _binary(f"__{_name}__"))
    setattr(Each, f"__r{_name}__", _binary(f"__r{_name}__"))
for _name in _COMPARISONS:
    setattr(Each, f"__{_name}__", _comparison(_name))


class EachRun(TorchFunctionMode):
    """Within the block, torch's functions on tensors [runs, columns] take :class:`Each`."""

    def __enter__(self) -> Any:
        self._numpys = np.errstate(all="ignore")  # 1 / 0 is inf in a tensor, and so it is here
        self._numpys.__enter__()
        return super().__enter__()

    def __exit__(self, *args: Any) -> None:
        super().__exit__(*args)
        self._numpys.__exit__(*args)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        for value in args:
            if type(value) is Each:
                return _on_columns(func, args, kwargs or {})
        if kwargs:
            for value in kwargs.values():
                if type(value) is Each:
                    return _on_columns(func, args, kwargs)
            return func(*args, **kwargs)
        if func is Tensor.item and args[0].ndim:
            return Each(args[0][:, 0].double().cpu().numpy())  # ASGD keeps its rate as state
        return func(*args)


def _on_columns(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a function with columns in place of numbers."""
    name = func.__name__.rstrip("_")
    if func is torch.as_tensor:
        return torch.from_numpy(args[0].values[:, None]).to(**kwargs)
    if func is torch.full_like:
        return args[1].column(args[0]).expand_as(args[0]).contiguous()
    scaled = _SCALED.get(name)
    if scaled in kwargs:
        factor = kwargs.pop(scaled)
        *first, last = args
        if name in ("addcmul", "addcdiv"):
            return func(first[0], first[1] * factor.column(first[0]), last, **kwargs)
        sign = 1 if name == "add" else -1
        target = first[0]
        fused = Tensor.addcmul_ if func.__name__.endswith("_") else Tensor.addcmul
        return fused(target, last, factor.column(target), value=sign)
    if kwargs and any(type(v) is Each for v in kwargs.values()):
        raise TypeError(f"{func.__name__} of numbers that differ from run to run")
    tensor = next(value for value in args if isinstance(value, Tensor))
    return func(*(v.column(tensor) if type(v) is Each else v for v in args), **kwargs)


def _same(answers: np.ndarray) -> bool:
    """A question that all runs answer alike; where they do not, one optimizer cannot serve them."""
    if answers.all():
        return True
    if answers.any():
        raise TypeError("the runs of one optimizer would have to go different ways")
    return False
