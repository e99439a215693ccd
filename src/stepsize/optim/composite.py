"""Several optimizers behind one ``Optimizer`` face: Muon for the matrices, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from stepsize.optim.limits import evaluates_repeatedly


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
            if evaluates_repeatedly(type(part)):
                raise ValueError(
                    f"{type(part).__name__} cannot be part of a composite: it evaluates the model "
                    "several times within its own step; use it alone, as optimizer=lbfgs or sam"
                )
        self.optimizers = tuple(optimizers)
        self._owners: list[int] = []  # of each group: the position of its part
        super().__init__([group for part in optimizers for group in part.param_groups], {})
        self.defaults = dict(optimizers[0].defaults)
        self._share()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take in a group that was added to one of the parts.

        It comes last, wherever its part stands, so that the groups before it keep their places in
        schedules and checkpoints.

        Raises:
            ValueError: no part has the group, or another has some of its parameters.
        """
        owners = [
            index
            for index, part in enumerate(self.optimizers)
            if any(group is param_group for group in part.param_groups)
        ]
        if not owners:
            raise ValueError(
                "a composite does not know which part takes the group; add it to one of "
                "composite.optimizers first, then give that part's own dictionary"
            )
        known = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in known for p in param_group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        # Not torch's own: that would write the first part's defaults into every part's groups.
        self.param_groups.append(param_group)
        self._owners.append(owners[0])

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
        for index, part in enumerate(self.optimizers):
            owned = zip(self.param_groups, self._owners, strict=True)
            part.param_groups = [group for group, owner in owned if owner == index]
            part.state = self.state
