"""``result.json``: how a run ended and what it reached, the same for every launcher."""

from __future__ import annotations

import functools
import json
import math
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepsize import __version__
from stepsize.config.schema import larger_is_better
from stepsize.run.atomic import replacing
from stepsize.run.errors import one_line

if TYPE_CHECKING:
    from stepsize.loggers.metrics_csv import History
    from stepsize.run.folder import Run


def result_of(
    run: Run,
    history: History | None = None,
    *,
    steps: int = 0,
    optimum: float | None = None,
    diverged: str | None = None,
    error: BaseException | None = None,
    fingerprints: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """What ``result.json`` says of a run that has ended.

    Args:
        run: the run.
        history: its rows; None where none could be logged.
        steps: optimizer steps taken.
        optimum: the smallest value of the training objective, where it is known.
        diverged: the reason that the callback ``Divergence`` gives; None where it gives none.
        error: what ended the run before its end; None where nothing did.
        fingerprints: short hashes, as the callback ``Fingerprints`` takes them; None where the run
            did not get that far.

    Returns:
        The keys and values of ``result.json``. ``status`` is ``completed``, ``diverged``,
        ``failed`` or ``interrupted``.

    Raises:
        ValueError: the run reached its end, and its monitor was never logged.
    """
    config = run.config
    monitor: Any = config.get("monitor")
    mode: Any = config.get("mode")
    target: Any = config.get("target")
    reason: str | None
    metrics: dict[str, Any] = {} if history is None else history.summary(monitor, mode)
    objective = None
    if error is not None:
        status, reason = _status_of(error)
    else:
        if monitor not in metrics:
            raise ValueError(
                f"monitor={monitor} was not logged; this run logged {', '.join(metrics)}"
            )
        final = metrics[monitor]["final"]
        if diverged is None and not math.isfinite(final):
            diverged = f"the final value of the monitor is {final}"
        status, reason = ("completed", None) if diverged is None else ("diverged", diverged)
        objective = final if diverged is None else None
    return {
        "status": status,
        "reason": reason,
        **run.choices,
        "seed": config.get("seed"),
        "overrides": list(run.overrides),
        "config_hash": run.config_hash,
        "steps": steps,
        "seconds": round(time.monotonic() - run.started, 3),
        "metrics": metrics,
        "optimum": optimum,
        "monitor": monitor,
        "mode": mode,
        "objective": objective,
        "lr": (config.get("optimizer") or {}).get("lr"),
        "target": target and {**target, "steps": _steps_to_target(config, history)},
        "fingerprints": None if fingerprints is None else dict(fingerprints),
        "versions": versions(),
    }


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write ``result.json`` atomically; a folder without it is an unfinished run.

    Numbers that are not finite are written as null.
    """
    write_json(folder / "result.json", result)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a file of JSON atomically; numbers that are not finite become null."""
    text = json.dumps(_finite(content), indent=2, allow_nan=False)
    with replacing(file) as part:
        part.write_text(text + "\n", "utf-8")


def objective_of(result: Mapping[str, Any]) -> float:
    """The objective for Hydra's sweepers: infinitely bad for a run that did not complete."""
    objective = result["objective"]
    completed = result["status"] == "completed" and objective is not None
    return objective if completed else worst_objective(result["mode"])


def worst_objective(mode: str) -> float:
    """Infinitely bad; NaN would end a whole Optuna study."""
    return math.inf if mode == "min" else -math.inf


def reachable_target(config: Mapping[str, Any], *, optimum_known: bool) -> dict[str, Any] | None:
    """The configured target; None for a target of the gap where the optimum is unknown.

    Args:
        config: the run's, as plain containers.
        optimum_known: whether the run logs the gap.
    """
    target: dict[str, Any] | None = config["target"]
    unknown = target is not None and target["metric"] == "train/gap" and not optimum_known
    return None if unknown else target


def _status_of(error: BaseException) -> tuple[str, str]:
    from stepsize.callbacks.interruption import Interrupted

    if isinstance(error, Interrupted):
        return "interrupted", error.reason
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return "interrupted", type(error).__name__
    return "failed", one_line(error)


def _steps_to_target(config: Mapping[str, Any], history: History | None) -> int | None:
    if history is None:
        return None
    metric, value = config["target"]["metric"], config["target"]["value"]
    larger = larger_is_better(metric, config["monitor"], config["mode"])
    return history.first_step(metric, value, larger=larger)


@functools.cache  # a hundredth of a second for each run of a vectorized sweep
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a run's numbers."""
    packages = ("torch", "pytorch-lightning", "hydra-core", "omegaconf", "numpy")
    return {
        "stepsize": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
