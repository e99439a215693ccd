"""Several optimizers behind one ``Optimizer`` face: Muon for the matrices, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import LBFGS, Optimizer


class CompositeOptimizer(Optimizer):
    """Steps several optimizers, each on its own parameters, as one.

    Lightning, learning-rate schedules, clipping and checkpoints see one ordinary optimizer: its
    ``param_groups`` are the parts' own dictionaries and its ``state`` is the one that all parts
    share, so torch's ``state_dict`` and ``load_state_dict`` need nothing special. Returning two
    optimizers to Lightning instead would mean manual optimization.

    Args:
        optimizers: the parts, over disjoint parameters. ``defaults`` are the first one's.

    Raises:
        ValueError: a part that cannot share a step, or fewer than two parts.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        if len(optimizers) < 2:
            raise ValueError(f"a composite needs two optimizers or more; got {len(optimizers)}")
        for part in optimizers:
            if isinstance(part, LBFGS):
                raise ValueError(
                    "LBFGS cannot be part of a composite: it evaluates the model many times "
                    "within its own step; use optimizer=lbfgs alone"
                )
        self.optimizers = tuple(optimizers)
        # No defaults here: torch would write the first part's into every part's groups.
        super().__init__([group for part in optimizers for group in part.param_groups], {})
        self.defaults = dict(optimizers[0].defaults)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Evaluate the closure once, then step every part."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.optimizers:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load as any optimizer does, then hand the new groups and state to the parts."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        start = 0
        for part in self.optimizers:
            end = start + len(part.param_groups)
            part.param_groups = self.param_groups[start:end]
            part.state = self.state
            start = end
