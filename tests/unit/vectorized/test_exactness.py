"""Vectorized runs do not affect each other, and equal runs that are trained individually."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from vectorized_runs import config_of, difference, individual, varied, vectorized

from stepsize.modules import Module, Regressor
from stepsize.vectorized import NotVectorizableError, Training, group_jobs, objective

CURVE = ("task=curve", "data.points=100", "trainer.max_steps=60")


def hash_of(module: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("task", ["line", "curve", "blobs", "quadratic", "digits_mlp"])
def test_the_initial_weights_equal_those_of_an_individual_run(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = []
    fit = pl.Trainer.fit

    def noted(trainer: pl.Trainer, module: pl.LightningModule, *args: Any, **kwargs: Any) -> None:
        hashes.append(hash_of(module))
        fit(trainer, module, *args, **kwargs)

    monkeypatch.setattr(pl.Trainer, "fit", noted)
    individual(f"task={task}", "seed=3", "trainer.max_steps=1", folder=tmp_path / "run")
    base = config_of(f"task={task}", "optimizer=sgd", folder=tmp_path)
    (group,), _ = group_jobs(varied(base, (0.1,), (2, 3, 4)))
    ours = [hash_of(components.module) for components in group.components]
    assert ours[1] == hashes[0]
    assert len(set(ours)) == 3


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("64-true", 1e-12), ("32-true", 1e-4)], ids=str
)
def test_a_single_run_equals_the_same_run_among_100(
    precision: str, tolerance: float, tmp_path: Path
) -> None:
    configs = []
    for name in ("sgd", "adam"):
        overrides = (*CURVE, f"trainer.precision={precision}", f"optimizer={name}")
        configs += varied(
            config_of(*overrides, folder=tmp_path), (1e-3, 1e-2, 0.1, 0.2, 9.0), range(10)
        )
    everyone = vectorized(configs)
    for number in (0, 37, 49, 50, 99):
        (single,) = vectorized([configs[number]])
        assert difference(single.rows, everyone[number].rows) < tolerance
        assert single.diverged == everyone[number].diverged


def test_a_diverged_run_ends_as_an_individual_run_and_the_others_continue(tmp_path: Path) -> None:
    # The others must keep their momentum when the rows of the diverged runs are removed.
    overrides = (*CURVE, "trainer.precision=64-true", "optimizer=sgd", "optimizer.momentum=0.9")
    configs = varied(config_of(*overrides, folder=tmp_path), (10.0, 0.01, 0.02), (0, 1))
    outcomes = vectorized(configs)
    assert [outcome.steps for outcome in outcomes] == [21, 21, 60, 60, 60, 60]
    for number, (lr, seed) in enumerate([(10.0, 0), (10.0, 1), (0.01, 0), (0.01, 1)]):
        own = (f"optimizer.lr={lr}", f"seed={seed}")
        rows, result, _ = individual(*overrides, *own, folder=tmp_path / f"run{number}")
        assert (result["reason"], result["steps"]) == (
            outcomes[number].diverged,
            outcomes[number].steps,
        )
        assert difference(outcomes[number].rows, rows) < 1e-10


def test_the_rows_of_diverged_runs_are_removed(tmp_path: Path) -> None:
    configs = varied(config_of(*CURVE, "optimizer=sgd", folder=tmp_path), (0.01, 10.0), (0, 1))
    (group,), _ = group_jobs(configs)
    seen = []
    training = Training(group, False, lambda step: seen.append(len(training.rows)))
    training.run()
    assert seen[0] == 4
    assert seen[-1] == 2


def test_compiling_changes_rounding_only(tmp_path: Path) -> None:
    overrides = (*CURVE, "trainer.precision=64-true", "optimizer=adam")
    # More runs than a chunk, so that the last one is padded.
    configs = varied(config_of(*overrides, folder=tmp_path), (0.01, 0.02), range(35))
    eager, compiled = (vectorized(configs, compile=compile) for compile in (False, True))
    for ours, theirs in zip(compiled, eager, strict=True):
        assert difference(ours.rows, theirs.rows) < 1e-10


def test_without_a_compiler_one_line_says_so_and_the_runs_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    configs = varied(config_of(*CURVE, "optimizer=adam", folder=tmp_path), (0.01,), (0, 1, 2))
    expected = vectorized(configs)
    monkeypatch.setattr(objective.shutil, "which", lambda name: None)
    with caplog.at_level(logging.INFO):
        ours = vectorized(configs, compile=True)
    assert ["no C++ compiler" in record.message for record in caplog.records] == [True]
    assert difference(ours[2].rows, expected[2].rows) < 1e-4


def test_a_variant_that_cannot_be_built_is_trained_individually_with_its_error_as_reason(
    tmp_path: Path,
) -> None:
    configs = varied(config_of(*CURVE, "optimizer=adam", folder=tmp_path), (0.01, -1.0), (0, 1))
    configs[0]["optimizer"]["beta"] = 0.9
    groups, reasons = group_jobs(configs)
    assert [group.numbers for group in groups] == [[1]]
    assert sorted(reasons) == [0, 2, 3]
    assert "beta" in reasons[0]
    assert "learning rate: -1.0" in reasons[2]


class WithDropout(Module):
    def step(self, batch: Any) -> Any:
        x, y = batch
        prediction = torch.nn.functional.dropout(self.net(x), 0.5)
        return objectives_step(prediction, y)


def objectives_step(prediction: torch.Tensor, y: torch.Tensor) -> Any:
    from stepsize.modules import Step

    return Step(torch.nn.functional.mse_loss(prediction, y), prediction, y)


def test_a_module_that_draws_random_numbers_is_trained_individually(tmp_path: Path) -> None:
    config = config_of(
        *CURVE, "optimizer=adam", "allowed_packages=[test_exactness]", folder=tmp_path
    )
    config["model"]["_target_"] = "test_exactness.WithDropout"
    (group,), _ = group_jobs([config, config])
    with pytest.raises(NotVectorizableError, match="random"):
        Training(group)


class WithLayerOfDropout(Module):
    """Has a dropout layer with a share of its own."""

    share = 0.0

    def __init__(self, net: Any) -> None:
        super().__init__(torch.nn.Sequential(net, torch.nn.Dropout(self.share)))

    def step(self, batch: Any) -> Any:
        x, y = batch
        return objectives_step(self.net(x), y)


class WithMoreDropout(WithLayerOfDropout):
    share = 0.1


def test_a_dropout_layer_that_drops_nothing_is_vectorized(tmp_path: Path) -> None:
    config = config_of(
        *CURVE, "optimizer=adam", "allowed_packages=[test_exactness]", folder=tmp_path
    )
    config["model"]["_target_"] = "test_exactness.WithLayerOfDropout"
    groups, reasons = group_jobs([config, config])
    assert (len(groups), reasons) == (1, {})
    Training(groups[0])
    config["model"]["_target_"] = "test_exactness.WithMoreDropout"
    groups, reasons = group_jobs([config, config])
    assert groups == []
    assert all("Dropout" in reason for reason in reasons.values())


def test_a_plateau_whose_monitor_is_never_logged_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overrides = ("task=blobs", "scheduler=plateau", "scheduler.monitor=val/loss",
             "trainer.val_check_interval=60", "trainer.max_steps=20")  # fmt: skip
    vectorized(varied(config_of(*overrides, folder=tmp_path), (0.01,), (0, 1)))
    (ours,) = (r.message for r in caplog.records if "had no value" in r.message)
    caplog.clear()
    individual(*overrides, folder=tmp_path / "run")
    (theirs,) = (r.message for r in caplog.records if "had no value" in r.message)
    assert ours.split(";")[0] == theirs.split(";")[0]


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("task=breast_cancer", "optimizer=lbfgs"), "LBFGS"),
        (("task=digits",), "BatchNorm2d"),
        (("task=digits_sparse", "optimizer=sgd"), "sparse"),
        (("optimizer=sam",), "SAM"),
        (("optimizer=sophia",), "SophiaH"),
        (("trainer.accumulate_grad_batches=2",), "accumulate_grad_batches=2"),
        (("trainer.precision=bf16-mixed",), "precision=bf16-mixed"),
        (("+trainer.limit_train_batches=5",), "limit_train_batches"),
        (("callbacks=ema",), "callbacks.ema"),
        (("callbacks=swa",), "callbacks.swa"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_exact_is_trained_individually(
    overrides: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    groups, reasons = group_jobs([config_of(*overrides, folder=tmp_path)])
    assert not groups
    assert reason in reasons[0]


class Counting(Regressor):
    def step(self, batch: Any) -> Any:
        self.count = getattr(self, "count", 0) + 1
        return super().step(batch)


class Annealed(Module):
    def step(self, batch: Any) -> Any:
        x, y = batch
        return objectives_step(self.net(x) * (1 + self.global_step), y)


@pytest.mark.parametrize(
    ("kind", "reason"), [("Counting", "its attribute count"), ("Annealed", "Trainer's global_step")]
)
def test_a_module_whose_step_depends_on_its_number_is_trained_individually(
    kind: str, reason: str, tmp_path: Path
) -> None:
    config = config_of(
        *CURVE, "optimizer=adam", "allowed_packages=[test_exactness]", folder=tmp_path
    )
    config["model"]["_target_"] = f"test_exactness.{kind}"
    (group,), _ = group_jobs([config, config])
    with pytest.raises(NotVectorizableError, match=reason):
        Training(group)


class Own(Module):
    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return super().training_step(batch, batch_idx)


def test_a_module_that_overrides_training_step_is_trained_individually(
    tmp_path: Path,
) -> None:
    config = config_of(*CURVE, "allowed_packages=[test_exactness]", folder=tmp_path)
    config["model"]["_target_"] = "test_exactness.Own"
    _, reasons = group_jobs([config])
    assert reasons == {0: "Own overrides training_step"}


def test_runs_with_different_data_models_or_lengths_are_in_different_groups(tmp_path: Path) -> None:
    configs = [
        config_of(*CURVE, *overrides, folder=tmp_path)
        for overrides in (
            ("optimizer=adam",),
            ("optimizer=sgd", "seed=4"),
            ("data.noise=0.2",),
            ("model.net.widths=[1,30,1]",),
            ("trainer.max_steps=50",),
            ("trainer.log_every_n_steps=5",),
            ("callbacks.divergence.factor=10",),
        )
    ]
    groups, reasons = group_jobs(configs)
    assert not reasons
    assert [group.numbers for group in groups] == [[0, 1], [2], [3], [4], [5], [6]]
