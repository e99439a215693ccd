"""What an earlier attempt has left in a run's folder, and what may be done about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

# Of the top-level values: where a run goes and what is done about an earlier one, not what it is.
NOT_COMPARED = ("name", "overwrite", "fail_fast")
_CURVES = ("metrics.csv", "metrics.part", "*.png", "events.out.tfevents*")
_SHOWN = 4


class ChangedError(ValueError):
    """A run's folder holds a run with another configuration; the message shows how."""


@dataclass(frozen=True)
class Earlier:
    """An earlier attempt at a run.

    Attributes:
        folder: the run's.
        result: what ``result.json`` says; empty where there is none, or none that can be read.
        begun: whether a run has ever taken the folder.
    """

    folder: Path
    result: Mapping[str, Any]
    begun: bool

    @classmethod
    def look(cls, folder: Path) -> Earlier:
        """Read what there is; a folder that does not exist has not begun."""
        try:
            result = json.loads((folder / "result.json").read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            result = {}
        return cls(folder, result, bool(result) or (folder / ".hydra" / "config.yaml").is_file())

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do: it was completed, or diverged."""
        return self.result.get("status") in ("completed", "diverged")

    @property
    def checkpoint(self) -> Path | None:
        """Where to go on from, if it was cut off; one that failed is repeated from the start."""
        path = self.folder / "checkpoints" / "last.ckpt"
        failed = self.result.get("status") == "failed"
        return path if path.is_file() and not failed else None

    def differences(self, config: Mapping[str, Any]) -> list[str]:
        """What ``config`` would change, a phrase each; empty where nothing has begun.

        Args:
            config: the new configuration, interpolations unresolved, as Hydra saves it.
        """
        file = self.folder / ".hydra" / "config.yaml"
        unsettled = self.result.get("status") == "failed" and not file.exists()
        if not self.begun or unsettled:  # a value was missing, so that it never took the folder
            return []
        try:
            text = file.read_text("utf-8")
            old = dict(_leaves(yaml.load(text, Loader=_LOADER) or {}))
        except (FileNotFoundError, yaml.YAMLError):
            return ["its .hydra/config.yaml cannot be read"]
        new = dict(_leaves(config))
        keys = [key for key in {**old, **new} if key.split(".")[0] not in NOT_COMPARED]
        return [
            f"{key} was {_shown(old, key)}, is {_shown(new, key)}"
            for key in keys
            if old.get(key, _ABSENT) != new.get(key, _ABSENT)
        ]

    def agreed(self, config: Mapping[str, Any], *, overwrite: bool) -> Earlier:
        """Settle what a changed configuration means.

        Args:
            config: as in :meth:`differences`.
            overwrite: whether a run whose configuration has changed is to be trained anew.

        Returns:
            This attempt; where it is to be trained anew, one with nothing to go on from.

        Raises:
            ChangedError: the configuration has changed; shows how.
        """
        found = self.differences(config)
        if found and not overwrite:
            more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
            raise ChangedError(
                f"{self.folder} holds a run with another configuration: "
                f"{'; '.join(found[:_SHOWN])}{more}; give overwrite=true to train it anew, or "
                "another name"
            )
        return replace(self, result={"status": "failed"}) if found else self

    def clear(self, *, keep_checkpoint: bool) -> None:
        """Remove the curves, so that those of two attempts never merge; the log goes on."""
        if not self.begun:
            return
        # First, so that nothing unfinished looks finished.
        (self.folder / "result.json").unlink(missing_ok=True)
        for pattern in _CURVES:
            for path in self.folder.glob(pattern):
                path.unlink()
        if not keep_checkpoint:
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ABSENT = object()


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    return str(leaves[key]) if key in leaves else "absent"
