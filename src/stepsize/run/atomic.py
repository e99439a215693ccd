"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Yield a path to write to; it takes the file's name once it is complete.

    Args:
        file: a process that is killed, or a full disk, leaves the earlier content here.
    """
    part = file.with_suffix(".part")
    yield part
    os.replace(part, file)
