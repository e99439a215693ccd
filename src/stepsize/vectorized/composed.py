"""A job whose configuration is settled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Composed:
    """A job, ready to be trained.

    Attributes:
        number: Hydra's ``job.num``.
        words: its overrides.
        folder: where it goes.
        config: resolved, as ``Run.config`` has it.
        unresolved: as Hydra saves it.
        choices: as ``Run.choices`` has them.
        files: the text of ``.hydra/<name>.yaml``, by name.
    """

    number: int
    words: tuple[str, ...]
    folder: Path
    config: dict[str, Any]
    unresolved: dict[str, Any]
    choices: dict[str, str]
    files: dict[str, str]
