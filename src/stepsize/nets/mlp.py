"""A multilayer perceptron; with two widths it is linear or logistic regression."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class MLP(nn.Module):
    """Linear layers with an activation between them.

    The hidden blocks are ``layer1``, ``layer2`` ... (each with ``linear``, ``norm`` if configured,
    and ``activation``) and the output layer is ``fc``, so that parameter-group rules for the
    ResNet's names work here too.

    Args:
        widths: Features of the input, of each hidden layer, and of the output; two or more.
        norm: Add a LayerNorm after every hidden linear layer.
        activation: ``relu``, ``tanh``, ``gelu`` or ``silu``.

    Raises:
        ValueError: Fewer than two widths, a width that is not a positive integer, or an unknown
            activation.
    """

    def __init__(self, widths: Sequence[int], norm: bool = False, activation: str = "relu") -> None:
        super().__init__()
        sizes = list(widths)
        if len(sizes) < 2 or not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(
                f"MLP: widths must be two or more positive integers (input, hidden ..., output), "
                f"got {sizes}"
            )
        if activation not in _ACTIVATIONS:
            raise ValueError(
                f"MLP: unknown activation {activation!r}; allowed: {', '.join(_ACTIVATIONS)}"
            )
        for index, (fan_in, fan_out) in enumerate(pairwise(sizes[:-1]), start=1):
            block: OrderedDict[str, nn.Module] = OrderedDict(linear=nn.Linear(fan_in, fan_out))
            if norm:
                block["norm"] = nn.LayerNorm(fan_out)
            block["activation"] = _ACTIVATIONS[activation]()
            self.add_module(f"layer{index}", nn.Sequential(block))
        self.fc = nn.Linear(sizes[-2], sizes[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, ...]``, flattened to ``[B, widths[0]]``, to ``[B, widths[-1]]``."""
        x = x.flatten(1)
        for layer in self.children():
            x = layer(x)
        return x
