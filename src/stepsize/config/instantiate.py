"""Builds objects from configuration, with classes of allowed packages only.

A configuration file names classes (``_target_: torch.optim.Adam``). Every ``_target_`` is checked
here: its package, and by :mod:`stepsize.config.places` whether it belongs to its place, so that a
file from a stranger cannot call ``os.system`` or ``torch.hub.load``. ``allowed_packages=[NAME]`` on
the command line trusts a package of one's own; Hydra's own block list applies too.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from stepsize.config.places import check_object, check_target

ALLOWED_PACKAGES = (
    "torch",
    "stepsize",
    "pytorch_lightning",
    "torchmetrics",
    "pytorch_optimizer",
    "schedulefree",
)
# Packages that are not always installed, and the extra of this project that brings them.
_EXTRAS = {"pytorch_optimizer": "optimizers", "schedulefree": "optimizers"}

_extra_packages: ContextVar[tuple[str, ...]] = ContextVar("extra_packages", default=())
_HYDRA_KEYS = {"_target_", "_args_", "_partial_", "_convert_", "_recursive_"}


@contextmanager
def allowing(packages: Sequence[str]) -> Iterator[None]:
    """Allow ``_target_`` in these packages too, within the ``with`` block."""
    token = _extra_packages.set(tuple(packages))
    try:
        yield
    finally:
        _extra_packages.reset(token)


def locate(target: str) -> Callable[..., Any]:
    """Find the class or function that a dotted path names.

    Args:
        target: for example ``"torch.optim.Adam"``.

    Raises:
        ValueError: the path is outside the allowed packages, or names nothing that can be called.
    """
    allowed = (*ALLOWED_PACKAGES, *_extra_packages.get())
    if not isinstance(target, str) or not _is_in(target, allowed):
        raise ValueError(
            f"_target_={target} is not in an allowed package ({', '.join(allowed)}); "
            f"allow yours with allowed_packages=[{str(target).split('.')[0]}]"
        )
    found: Any = None
    path, names = "", target.split(".")
    for depth, name in enumerate(names):
        parent, path = found, ".".join(names[: depth + 1])
        found = getattr(parent, name, None) if depth else None
        if found is None:
            found = _import(path)
        if found is None:
            close = difflib.get_close_matches(name, dir(parent) if depth else (), n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            where = ".".join(names[:depth]) or "this environment"
            raise ValueError(f"_target_={target}: there is no {name} in {where}{hint}")
    # torch.os.system begins with an allowed name, but is defined elsewhere. An object without a
    # home may come from anywhere; of torch's functions in C, those of networks are known.
    home = "torch" if names[:-1] == ["torch", "nn", "functional"] else ""
    module = getattr(found, "__module__", None) or home
    if not callable(found) or not _is_in(module, allowed):
        raise ValueError(f"_target_={target} is not a class or function of {', '.join(allowed)}")
    return found


def instantiate(config: Mapping[str, Any], *args: Any, where: str = "config", **kwargs: Any) -> Any:
    """Build what ``config`` describes, nested ``_target_`` included, from plain containers.

    Args:
        config: a mapping with a ``_target_``; its other keys are the arguments.
        *args: positional arguments for the outermost call.
        where: the config's path, for messages: ``"model"``.
        **kwargs: more arguments for the outermost call.

    Raises:
        ValueError: a target is not allowed or does not exist, has no such argument, or refuses a
            value.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    _check(config, where)
    try:
        built = hydra_instantiate(dict(config), *args, _convert_="all", **kwargs)
    except InstantiationException as error:
        cause = error.__cause__ or error
        reason = str(cause).splitlines()[0] if str(cause) else repr(cause)
        raise ValueError(f"{where}: {config['_target_']}: {reason}") from cause
    check_object(built, config["_target_"], where)
    return built


def check_arguments(call: Callable[..., Any], names: Sequence[str], where: str) -> None:
    """Refuse arguments that ``call`` does not have.

    Raises:
        ValueError: names the argument, close matches and all that is allowed.
    """
    allowed = argument_names(call)
    if allowed is None:
        return
    for name in names:
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise ValueError(
                f"{where}.{name}: {call.__name__} has no argument {name}{hint}; "
                f"it takes {', '.join(allowed) or 'none'}"
            )


def argument_names(call: Callable[..., Any]) -> list[str] | None:
    """The keyword arguments of ``call``, or None if it takes any or has no signature."""
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _check(node: Any, where: str) -> None:
    if isinstance(node, Mapping):
        if "_target_" in node:
            try:
                call = locate(node["_target_"])
            except ValueError as error:
                raise ValueError(f"{where}.{error}") from None
            check_target(call, node["_target_"], where, _extra_packages.get())
            check_arguments(call, [str(k) for k in node if k not in _HYDRA_KEYS], where)
        for key, value in node.items():
            _check(value, f"{where}.{key}")
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            _check(value, f"{where}[{index}]")


def _import(path: str) -> Any:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name in _EXTRAS:
            raise ValueError(
                f"_target_={path}: {error.name} is not installed; "
                f'pip install -e ".[{_EXTRAS[error.name]}]" brings it'
            ) from None
        if error.name and (path == error.name or path.startswith(error.name + ".")):
            return None
        raise


def _is_in(path: str, packages: Sequence[str]) -> bool:
    return any(path == package or path.startswith(package + ".") for package in packages)
