"""Keys of earlier versions; each ends a run with one line that names the new key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

RENAMED = {
    "pictures": "plots",
    "allow": "allowed_packages",
    "callbacks.picture": "callbacks.plot",
    "data.order_seed": "data.shuffle_seed",
    "optimizer.takes": "optimizer.params",
    "optimizer.rest": "optimizer.other_params",
    "hydra.sweeper.only_fitting": "hydra.sweeper.skip_incompatible",
    "hydra.sweeper.then": "hydra.sweeper.final_stage",
    "hydra.sweeper.then.best_of": "hydra.sweeper.final_stage.select_best_per",
    "hydra.sweeper.then.seed": "hydra.sweeper.final_stage.seeds",
}


def refuse_renamed_overrides(arguments: Sequence[str]) -> None:
    """End the program where the command line sets a renamed key; Hydra would not know the new one.

    Raises:
        SystemExit: with a message of one line, which names the old and the new key.
    """
    for argument in arguments:
        key = re.split("[=@]", argument.lstrip("+~"), maxsplit=1)[0]
        if key in RENAMED:
            raise SystemExit(_message(key))


def refuse_renamed_keys(config: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse renamed keys that a configuration file sets.

    Args:
        config: a part of the configuration.
        prefix: where the part stands, such as ``hydra.sweeper.``; the whole has none.

    Raises:
        ValueError: names the old and the new key.
    """
    for old in RENAMED:
        if not old.startswith(prefix):
            continue
        node: Any = config
        for key in old[len(prefix) :].split("."):
            node = node[key] if isinstance(node, Mapping) and key in node else None
        if node is not None:
            raise ValueError(_message(old))


def _message(key: str) -> str:
    return f"{key} is called {RENAMED[key]} now; use the new key"
