"""Optuna's sweeper hands out batches, and is told the same whoever trains them.

Runs where the extra is installed: CONTRIBUTING says how. It brings scipy, which would cost every
other test's start half a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs: make test-optuna")

STUDY = (
    "hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=1", "hydra.sweeper.n_trials=24",
    "hydra.sweeper.n_jobs=8", "task=line", "optimizer=sgd,adam,lbfgs",
    "optimizer.lr=tag(log,interval(1e-4,1.0))", "trainer.max_steps=40", "trainer.accelerator=cpu",
    "plots=false",
)  # fmt: skip


@pytest.mark.parametrize("words", [(), ("optimizer=sgd", "optimizer.lr=interval(-0.1,0.1)")],
                         ids=["", "some fail"])  # fmt: skip
def test_the_best_trial_and_the_folders_are_the_ordinary_launcher_s(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    best, names = [], []
    for launcher in ("basic", "vectorized"):
        replaced = {word.split("=")[0] for word in words}
        study = [word for word in STUDY if word.split("=")[0] not in replaced]
        ended = subprocess.run(
            [sys.executable, str(ROOT / "train.py"), "-m", *study, *words,
             f"hydra/launcher={launcher}", f"name={launcher}"],
            cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
        assert ended.returncode == (1 if words else 0), ended.stderr
        folder = tmp_path / "outputs" / "sweeps" / launcher
        best.append(yaml.safe_load((folder / "optimization_results.yaml").read_text("utf-8")))
        names.append(sorted(path.parent.name for path in folder.glob("*/result.json")))
    assert len(names[0]) == 24
    assert names[0] == names[1]
    assert best[0]["best_params"] == best[1]["best_params"]
    assert best[0]["best_value"] == pytest.approx(best[1]["best_value"], rel=1e-5)
