"""How runs are called: readable, unique, and the same in whatever order they were told."""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
from collections.abc import Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

# These say how a sweep is run and where it goes, not what a run is.
NOT_IN_NAMES = ("name", "sweep", "overwrite", "fail_fast")
_FIRST = ("task", "data", "model", "optimizer", "param_groups", "scheduler")
_LONGEST = 200  # bytes; file systems take 255, and some tools append an ending
_UNSAFE = re.compile(r"[^\w.,=+()\[\]@-]+")


def run_name(overrides: Iterable[str]) -> str:
    """The folder of a run, made from the words that make it this run.

    Args:
        overrides: ``["seed=3", "optimizer=adam", "optimizer.lr=1e-2"]``.

    Returns:
        ``"optimizer=adam,optimizer.lr=0.01,seed=3"``: one name for all orders and all spellings of
        a number, at most 200 bytes. Where characters had to be replaced, or the end cut off, a
        digest of the whole ends the name.
    """
    words = sorted(canonical(word) for word in overrides)
    kept = sorted((key, value) for key, value in words if key not in NOT_IN_NAMES)
    kept.sort(key=lambda entry: _rank(entry[0]))
    whole = ",".join(f"{key}={value}" for key, value in kept) or "default"
    safe = _UNSAFE.sub("_", whole).encode("ascii", "replace").decode().replace("?", "_")
    if safe == whole and len(safe) <= _LONGEST:
        return safe
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{safe[: _LONGEST - 9]}-{digest}"


@functools.lru_cache(maxsize=10_000)  # a sweep's jobs share most of their words
def canonical(word: str) -> tuple[str, str]:
    """Key and value of an override: ``1e-2`` and ``0.01`` are one value, ``+k`` and ``k`` one key.

    Raises:
        hydra.errors.OverrideParseException: the word is not an override.
    """
    override = OverridesParser.create().parse_override(word)
    key = override.key_or_group if override.package is None else override.get_key_element()
    value = "null" if override.is_delete() else override.get_value_element_as_str()
    return key.lstrip("+~"), value.lower() if value in ("True", "False") else value


def _rank(key: str) -> tuple[int, str]:
    first = key.split(".")[0]
    if key == "seed":
        return len(_FIRST) + 1, key
    return (_FIRST.index(first) if first in _FIRST else len(_FIRST)), key


def register_resolvers() -> None:
    """Make ``${run_name:...}``, ``${or_else:...}`` and ``${random_hex:...}`` known to OmegaConf."""
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    OmegaConf.register_new_resolver(
        "or_else", lambda value, other: other if value is None else value, replace=True
    )
    # Two sweeps that begin in the same second would share a folder.
    OmegaConf.register_new_resolver(
        "random_hex", lambda digits: secrets.token_hex(4)[:digits], use_cache=True, replace=True
    )


register_resolvers()
