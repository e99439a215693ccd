"""Errors of a run: one line on the console, the traceback in its log."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import CompactHydraException


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turn any error into one that Hydra prints without a traceback.

    With HYDRA_FULL_ERROR=1 Hydra shows the original error and its traceback as the cause.
    """
    try:
        yield
    except CompactHydraException:
        raise  # Hydra's own, which is short already
    except Exception as error:
        raise CompactHydraException(one_line(error)) from error


def one_line(error: BaseException) -> str:
    """The error's message, with its type and its place in the code if it is not for the user."""
    message = " ".join(str(error).split())
    if isinstance(error, (ValueError, OSError)):
        return message
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {message}{place}"
