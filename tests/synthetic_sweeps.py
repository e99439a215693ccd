"""Writes sweep folders with synthetic numbers in the real layout."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepsize.report.labels import name_settings
from stepsize.report.read import read_sweep
from stepsize.report.task import TaskComparison, compare_tasks

VERSIONS = {"stepsize": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"}
# How fast the gap shrinks at the best learning rate, and that learning rate.
BEST = {
    "sgd": (4.0, 0.1), "adam": (6.0, 0.01), "adamw": (6.02, 0.01), "nadam": (6.6, 0.01),
    "radam": (5.9, 0.01), "rmsprop": (5.0, 0.003), "adagrad": (4.5, 0.1), "lion": (5.4, 0.001),
    "adamax": (5.6, 0.02), "adadelta": (2.0, 1.0), "asgd": (3.9, 0.1), "rprop": (7.0, 0.01),
    "lbfgs": (12.0, 1.0), "muon": (5.5, 0.02), "adafactor": (4.2, 0.01),
}  # fmt: skip


def write_run(
    folder: Path,
    overrides: Mapping[str, Any],
    *,
    steps: int = 400,
    points: int = 40,
    known: bool = True,
    status: str = "completed",
    end: int | None = None,
    final: float | None = None,
    level: float = 0.15,
    target: float | None = 1e-3,
) -> dict[str, Any]:
    """One run's folder.

    Args:
        folder: is created.
        overrides: task, optimizer, seed and any other override.
        steps: of the whole run.
        points: logged rows.
        known: whether the optimum is known, so that there is a gap.
        status: as in result.json; an interrupted run has none.
        end: last step of a run that does not complete; a diverged run is nan there.
        final: the last gap; by default a function of the optimizer and its learning rate.
        level: the optimum.
        target: of the gap, or of the loss where the optimum is not known; None for no target.
    """
    overrides = {key: str(value) for key, value in overrides.items()}
    task, optimizer = overrides.get("task", "curve"), overrides.get("optimizer", "adam")
    seed = int(overrides.get("seed", 0))
    lr = float(overrides.get("optimizer.lr", BEST[optimizer][1]))
    noise = random.Random(f"{task} {overrides} {final}")
    shared = random.Random(f"{task} {seed}").gauss(0, 0.25)
    if final is None:
        speed, best = BEST[optimizer]
        away = abs(math.log10(lr / best))
        final = math.exp(-speed * (1 - 0.25 * away) + shared + noise.gauss(0, 0.05))
    last = steps if end is None else end
    rows, gap = [], math.nan
    for index in range(points + 1):
        step = round(index * steps / points)
        if step > last:
            break
        share = step / steps
        gap = 3.0 * (final / 3.0) ** share * math.exp(noise.gauss(0, 0.03) * (0 < share < 1))
        loss = math.nan if status == "diverged" and step >= last else level + gap
        row = {"step": step, "train/loss": loss, "lr/default": lr}
        if known:
            row["train/gap"] = loss - level
        if index % 5 == 0:
            row |= {"val/loss": loss * 1.1, "val/acc": 1 - 1 / (2 + 10 * share)}
        rows.append(row)
    tags = list(dict.fromkeys(tag for row in rows for tag in row))
    folder.mkdir(parents=True)
    cells = [",".join(tags)]
    cells += [",".join(repr(row[tag]) if tag in row else "" for tag in tags) for row in rows]
    (folder / "metrics.csv").write_text("\n".join(cells) + "\n", "utf-8")
    tag = "train/gap" if known else "train/loss"
    metrics = {name: _summary([row[name] for row in rows if name in row]) for name in tags[1:]}
    met = [row["step"] for row in rows if target is not None and row[tag] <= target]
    result = {
        "status": status,
        "reason": {
            "diverged": f"train/loss is nan at step {last}",
            "failed": "RuntimeError: no",
        }.get(status),
        "task": task,
        "optimizer": optimizer,
        "scheduler": overrides.get("scheduler", "none"),
        "param_groups": overrides.get("param_groups", "none"),
        "seed": seed,
        "lr": lr,
        "overrides": [f"{key}={value}" for key, value in overrides.items()],
        "config_hash": f"{random.Random(str(overrides)).getrandbits(64):016x}",
        "steps": last,
        "seconds": round(1.2 + noise.random() / 10, 3),
        "monitor": "train/loss",
        "mode": "min",
        "objective": metrics["train/loss"]["final"],
        "metrics": {name: value for name, value in metrics.items() if not name.startswith("lr/")},
        "optimum": level if known else None,
        "target": None
        if target is None
        else {"metric": tag, "value": target, "steps": met[0] if met else None},
        "versions": VERSIONS,
    }
    if status != "interrupted":
        (folder / "result.json").write_text(json.dumps(result), "utf-8")
    return result


def write_sweep(
    folder: Path,
    varied: Mapping[str, Sequence[Any]],
    *,
    stages: Mapping[str, str] | None = None,
    special: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,
) -> Path:
    """A sweep's folder: every combination of ``varied``, with a plan.

    Args:
        folder: is created.
        varied: values by key.
        stages: the stage by run name; "compare" by default.
        special: options of :func:`write_run` by run name; ``{"status": "missing"}`` writes none.
        **options: of all runs.
    """
    jobs = []
    for values in itertools.product(*varied.values()):
        overrides = dict(zip(varied, values, strict=True))
        run = ",".join(f"{key}={value}" for key, value in sorted(overrides.items()))
        own = {**options, **(special or {}).get(run, {})}
        if own.get("status") != "missing":
            write_run(folder / run, overrides, **own)
        optimizer = str(overrides.get("optimizer", "adam"))
        jobs.append(
            {
                "run": run,
                "overrides": [f"{key}={value}" for key, value in overrides.items()],
                "stage": (stages or {}).get(run, "compare"),
                "task": str(overrides.get("task", "curve")),
                "optimizer": optimizer,
                "scheduler": str(overrides.get("scheduler", "none")),
                "param_groups": "none",
                "seed": int(overrides.get("seed", 0)),
                "lr": float(overrides.get("optimizer.lr", BEST[optimizer][1])),
            }
        )
    command = "python train.py -m " + " ".join(
        f"{key}={','.join(map(str, values))}" for key, values in varied.items()
    )
    plan = {
        "name": folder.name,
        "sweep": None,
        "command": command,
        "commands": [command],
        "varied": list(varied),
        "jobs": jobs,
        "left_out": [],
        "baseline": None,
        "versions": VERSIONS,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps(plan), "utf-8")
    return folder


def compared(*folders: Path) -> list[TaskComparison]:
    """The comparisons of these sweeps, by task."""
    rows = [run for folder in folders for run in read_sweep(folder).runs]
    return compare_tasks(rows, name_settings(rows))


def _summary(values: Sequence[float]) -> dict[str, float | None]:
    finite = [value for value in values if math.isfinite(value)]
    final = values[-1] if math.isfinite(values[-1]) else None
    return {"first": finite[0], "final": final, "best": min(finite)}
