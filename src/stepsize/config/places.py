"""What each place of a configuration may name: a callback is a Callback, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# The place of an object, and the class that it is an instance of; * is any one key.
_CLASS_AT = {
    "data": "LightningDataModule",
    "model": "LightningModule",
    "trainer": "Trainer",
    "callbacks.*": "Callback",
    "logger.*": "Logger",
    "trainer.profiler": "Profiler",
    "trainer.strategy": "Strategy",
    "trainer.accelerator": "Accelerator",
}
# Lightning has two names. Its classes are recognized without importing either.
_LIGHTNING = ("pytorch_lightning", "lightning", "lightning_fabric", "lightning_pytorch")
# What objects of these classes hold: networks, metrics, data, schedules.
_PARTS = {
    "torch.nn.modules.module.Module",
    "torch.utils.data.dataset.Dataset",
    "torch.utils.data.sampler.Sampler",
    "torch.utils.data.dataloader.DataLoader",
    "torch.optim.optimizer.Optimizer",
    "torch.optim.lr_scheduler.LRScheduler",
    "torch.distributions.distribution.Distribution",
}
_LIGHTNING_PARTS = {*_CLASS_AT.values(), "Precision", "CheckpointIO", "ClusterEnvironment"}
_FUNCTIONS = ("torch.nn.functional", "torch.nn.init", "stepsize.schedules.functions")


def check_target(found: Any, target: str, where: str, own: Sequence[str]) -> None:
    """Refuse a class or function that does not belong where a configuration names it.

    A function of torch can read files or load code, so that only a few modules of functions are
    allowed. Functions of the user's own packages are trusted; see :func:`check_object`.

    Args:
        found: what the target names.
        target: its path.
        where: its place, such as ``callbacks.norms`` or ``model.net``.
        own: the packages of ``allowed_packages``.

    Raises:
        ValueError: names the place, the target and what is allowed.
    """
    home, path = getattr(found, "__module__", None) or "", target.rpartition(".")[0]
    is_own = any(home == package or home.startswith(f"{package}.") for package in own)
    expected = _expected(where)
    if isinstance(found, type):
        right = is_own or _is_part(found) if expected is None else _is_a(found, expected)
    else:
        # Of torch's functions in C, only the path says where they belong.
        right = is_own or (expected is None and bool({home, path} & {*_FUNCTIONS}))
    if not right:
        raise ValueError(f"{where}._target_={target} is not {_wanted(expected)}")


def check_object(built: Any, target: str, where: str) -> None:
    """Refuse what a function of the user's has built if it does not belong to its place.

    Raises:
        ValueError: names the place, the target and what is allowed.
    """
    expected = _expected(where)
    if expected is not None and not _is_a(type(built), expected):
        name = type(built).__name__
        raise ValueError(f"{where}._target_={target} gives a {name}, not {_wanted(expected)}")


def _expected(where: str) -> str | None:
    first, _, rest = where.partition(".")
    general = f"{first}.*" if rest and "." not in rest and "[" not in rest else where
    return _CLASS_AT.get(where) or _CLASS_AT.get(general)


def _is_a(kind: type, name: str) -> bool:
    return any(
        each.__name__ == name and each.__module__.partition(".")[0] in _LIGHTNING
        for each in kind.__mro__
    )


def _is_part(kind: type) -> bool:
    bases = {f"{each.__module__}.{each.__qualname__}" for each in kind.__mro__}
    in_functions = kind.__module__ in _FUNCTIONS
    return in_functions or bool(bases & _PARTS) or any(_is_a(kind, n) for n in _LIGHTNING_PARTS)


def _wanted(expected: str | None) -> str:
    if expected is None:
        return (
            "a network, metric, data set, optimizer, scheduler or other part of one, or a function "
            f"of {', '.join(_FUNCTIONS)}; allowed_packages=[PACKAGE] allows all of a package of "
            "yours"
        )
    article = "an" if expected[0] in "AEIOU" else "a"
    return f"{article} {expected}"
