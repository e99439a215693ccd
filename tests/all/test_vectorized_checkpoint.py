"""The checkpoint of a vectorized run is that of the individual run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from vectorized_runs import config_of, difference, individual, varied, vectorized

from stepsize.vectorized import training
from stepsize.vectorized.autotune import Choice
from stepsize.vectorized.folders import checkpoint_of

BLOBS = ("task=blobs", "trainer.val_check_interval=60", "trainer.precision=64-true")


@pytest.fixture(autouse=True)
def _fixed_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs differ in the last bit, which Muon's bfloat16 Newton-Schulz turns into 1e-4."""

    def one_run_at_a_time(objective: Any, weights: Any, batch: Any, *args: Any) -> Choice:
        objective.trace(weights, batch, None)
        return Choice("fixed")

    monkeypatch.setattr(training, "autotune", one_run_at_a_time)


def compare(ours: Any, theirs: Any, path: str = "", rel: float = 1e-9) -> None:
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), path
        for key in theirs:
            compare(ours[key], theirs[key], f"{path}.{key}", rel)
    elif isinstance(theirs, (list, tuple)):
        assert (type(ours), len(ours)) == (type(theirs), len(theirs)), path
        for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            compare(a, b, f"{path}[{index}]", rel)
    elif isinstance(theirs, torch.Tensor):
        # Norms and gaps close to the optimum lose some digits in both runs.
        close = {"rtol": 1e-6, "atol": 1e-9, "equal_nan": True}
        torch.testing.assert_close(ours, theirs, **close, msg=lambda text: f"{path}: {text}")
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=rel, nan_ok=True), path
    else:
        assert ours == theirs, path


@pytest.mark.parametrize(
    "overrides",
    [
        (*BLOBS, "trainer.max_steps=130", "scheduler=cosine", "optimizer=adam"),
        (*BLOBS, "trainer.max_steps=200", "optimizer=asgd", "optimizer.t0=10"),
        (*BLOBS, "trainer.max_steps=120", "scheduler=step", "scheduler.interval=epoch",
         "optimizer=sgd", "optimizer.momentum=0.9", "callbacks.norms=null"),
        (*BLOBS, "trainer.max_steps=40", "optimizer=adagrad"),
        (*BLOBS, "trainer.max_steps=50", "data.batch_size=18", "optimizer=nadam"),
        (*BLOBS, "trainer.max_steps=50", "data.batch_size=18", "optimizer=sgd",
         "scheduler=plateau", "scheduler.patience=1", "scheduler.threshold=0.5"),
        ("task=curve", "trainer.max_steps=60", "optimizer=sgd", "optimizer.lr=10",
         "scheduler=plateau", "scheduler.interval=step", "+scheduler.frequency=4"),  # diverges
        ("task=line", "trainer.max_steps=45", "optimizer=rmsprop"),
        (*BLOBS, "trainer.max_steps=50", "data.batch_size=18", "optimizer=schedulefree_adamw"),
        ("task=curve", "trainer.max_steps=60", "optimizer=schedulefree_adamw", "optimizer.lr=1e9"),
        ("task=quadratic", "data.sigma=0.1", "trainer.max_steps=105",
         "trainer.precision=64-true", "optimizer=radam"),
        ("task=curve", "trainer.max_steps=60", "optimizer=sgd", "optimizer.lr=10"),  # diverges
        ("task=digits_mlp", "model.net.widths=[64,16,16,10]", "trainer.max_steps=46",
         "optimizer=muon"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_it_has_the_same_keys_and_values(overrides: tuple[str, ...], tmp_path: Path) -> None:
    configs = varied(
        config_of(*overrides, folder=tmp_path),
        (config_of(*overrides, folder=tmp_path)["optimizer"]["lr"],),
        (0, 1),
    )
    outcome = vectorized(configs)[1]
    file = tmp_path / "last.ckpt"
    torch.save(checkpoint_of(outcome, configs[1]), file)
    _, _, theirs = individual(*overrides, "seed=1", folder=tmp_path / "run")
    compare(torch.load(file, weights_only=True), theirs)


@pytest.mark.parametrize("steps", [60, 130])
def test_an_individual_run_resumes_from_it_as_if_never_interrupted(
    steps: int, tmp_path: Path
) -> None:
    overrides = ("task=blobs", "trainer.val_check_interval=60", "data.batch_size=18",
                 "optimizer=adam", "optimizer.lr=0.01", "seed=1")  # fmt: skip
    config = config_of(*overrides, f"trainer.max_steps={steps}", folder=tmp_path)
    outcome = vectorized([*varied(config, (0.01, 0.02), (0, 1))])[1]
    file = tmp_path / "last.ckpt"
    torch.save(checkpoint_of(outcome, config), file)
    whole, _, _ = individual(*overrides, "trainer.max_steps=170", folder=tmp_path / "whole")
    resumed, result, _ = individual(
        *overrides, "trainer.max_steps=170", f"ckpt_path={file}", folder=tmp_path / "resumed"
    )
    assert result["steps"] == 170
    assert resumed.keys() == whole.keys()
    assert difference(resumed, whole, outcome.optimum) < 1e-4
