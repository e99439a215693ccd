"""Runs that are trained together do not touch each other."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from together import alone, config_of, difference, together, varied

from stepsize.modules import Module, Regressor
from stepsize.vectorized import CannotStackError, Training, graphs, sort_out

CURVE = ("task=curve", "data.points=100", "trainer.max_steps=60")


def hash_of(module: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("task", ["line", "curve", "blobs", "quadratic", "digits_mlp"])
def test_the_initial_weights_are_the_ordinary_run_s(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = []
    fit = pl.Trainer.fit

    def noted(trainer: pl.Trainer, module: pl.LightningModule, *args: Any, **kwargs: Any) -> None:
        hashes.append(hash_of(module))
        fit(trainer, module, *args, **kwargs)

    monkeypatch.setattr(pl.Trainer, "fit", noted)
    alone(f"task={task}", "seed=3", "trainer.max_steps=1", folder=tmp_path / "run")
    base = config_of(f"task={task}", "optimizer=sgd", folder=tmp_path)
    (group,), _ = sort_out(varied(base, (0.1,), (2, 3, 4)))
    ours = [hash_of(parts.module) for parts in group.parts]
    assert ours[1] == hashes[0]
    assert len(set(ours)) == 3


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("64-true", 1e-12), ("32-true", 1e-4)], ids=str
)
def test_a_run_alone_equals_the_same_run_among_100_others(
    precision: str, tolerance: float, tmp_path: Path
) -> None:
    configs = []
    for name in ("sgd", "adam"):
        words = (*CURVE, f"trainer.precision={precision}", f"optimizer={name}")
        configs += varied(
            config_of(*words, folder=tmp_path), (1e-3, 1e-2, 0.1, 0.2, 9.0), range(10)
        )
    everyone = together(configs)
    for number in (0, 37, 49, 50, 99):
        (single,) = together([configs[number]])
        assert difference(single.rows, everyone[number].rows) < tolerance
        assert single.diverged == everyone[number].diverged


def test_a_diverged_run_ends_as_it_would_alone_and_the_others_go_on(tmp_path: Path) -> None:
    # With momentum, which the others must take along when they move together; the diverged first.
    words = (*CURVE, "trainer.precision=64-true", "optimizer=sgd", "optimizer.momentum=0.9")
    configs = varied(config_of(*words, folder=tmp_path), (10.0, 0.01, 0.02), (0, 1))
    outcomes = together(configs)
    assert [outcome.steps for outcome in outcomes] == [21, 21, 60, 60, 60, 60]
    for number, (rate, seed) in enumerate([(10.0, 0), (10.0, 1), (0.01, 0), (0.01, 1)]):
        ways = (f"optimizer.lr={rate}", f"seed={seed}")
        rows, result, _ = alone(*words, *ways, folder=tmp_path / f"run{number}")
        assert (result["reason"], result["steps"]) == (
            outcomes[number].diverged,
            outcomes[number].steps,
        )
        assert difference(outcomes[number].rows, rows) < 1e-10


def test_a_diverged_run_costs_nothing_any_more(tmp_path: Path) -> None:
    configs = varied(config_of(*CURVE, "optimizer=sgd", folder=tmp_path), (0.01, 10.0), (0, 1))
    (group,), _ = sort_out(configs)
    seen = []
    training = Training(group, False, lambda step: seen.append(len(training.rows)))
    training.run()
    assert seen[0] == 4
    assert seen[-1] == 2


def test_compiling_changes_rounding_only(tmp_path: Path) -> None:
    words = (*CURVE, "trainer.precision=64-true", "optimizer=adam")
    # More than a piece, so that the last one is filled up.
    configs = varied(config_of(*words, folder=tmp_path), (0.01, 0.02), range(35))
    eager, compiled = (together(configs, compile=way) for way in (False, True))
    for ours, theirs in zip(compiled, eager, strict=True):
        assert difference(ours.rows, theirs.rows) < 1e-10


def test_without_a_compiler_one_line_says_so_and_the_runs_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    configs = varied(config_of(*CURVE, "optimizer=adam", folder=tmp_path), (0.01,), (0, 1, 2))
    expected = together(configs)
    monkeypatch.setattr(graphs.shutil, "which", lambda name: None)
    with caplog.at_level(logging.INFO):
        ours = together(configs, compile=True)
    assert ["no C++ compiler" in record.message for record in caplog.records] == [True]
    assert difference(ours[2].rows, expected[2].rows) < 1e-4


def test_settings_that_cannot_be_built_are_left_out_with_their_error(tmp_path: Path) -> None:
    configs = varied(config_of(*CURVE, "optimizer=adam", folder=tmp_path), (0.01, -1.0), (0, 1))
    configs[0]["optimizer"]["beta"] = 0.9
    groups, left = sort_out(configs)
    assert [group.numbers for group in groups] == [[1]]
    assert sorted(left) == [0, 2, 3]
    assert "beta" in left[0]
    assert "learning rate: -1.0" in left[2]


class WithDropout(Module):
    def step(self, batch: Any) -> Any:
        x, y = batch
        prediction = torch.nn.functional.dropout(self.net(x), 0.5)
        return objectives_step(prediction, y)


def objectives_step(prediction: torch.Tensor, y: torch.Tensor) -> Any:
    from stepsize.modules import Step

    return Step(torch.nn.functional.mse_loss(prediction, y), prediction, y)


def test_a_module_that_draws_random_numbers_is_refused(tmp_path: Path) -> None:
    config = config_of(
        *CURVE, "optimizer=adam", "allowed_packages=[test_together]", folder=tmp_path
    )
    config["model"]["_target_"] = "test_together.WithDropout"
    (group,), _ = sort_out([config, config])
    with pytest.raises(CannotStackError, match="random"):
        Training(group)


def test_a_plateau_whose_monitor_is_never_measured_is_spoken_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("task=blobs", "scheduler=plateau", "scheduler.monitor=val/loss",
             "trainer.val_check_interval=60", "trainer.max_steps=20")  # fmt: skip
    together(varied(config_of(*words, folder=tmp_path), (0.01,), (0, 1)))
    (said,) = (r.message for r in caplog.records if "had no value" in r.message)
    caplog.clear()
    alone(*words, folder=tmp_path / "run")
    (theirs,) = (r.message for r in caplog.records if "had no value" in r.message)
    assert said.split(";")[0] == theirs.split(";")[0]


@pytest.mark.parametrize(
    ("words", "reason"),
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
def test_what_cannot_be_exact_is_left_to_the_ordinary_way(
    words: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    groups, left = sort_out([config_of(*words, folder=tmp_path)])
    assert not groups
    assert reason in left[0]


class Counting(Regressor):
    def step(self, batch: Any) -> Any:
        self.count = getattr(self, "count", 0) + 1
        return super().step(batch)


class Annealed(Module):
    def step(self, batch: Any) -> Any:
        x, y = batch
        return objectives_step(self.net(x) * (1 + self.global_step), y)


@pytest.mark.parametrize(
    ("kind", "reason"), [("Counting", "changes its count"), ("Annealed", "Trainer's global_step")]
)
def test_a_module_that_knows_which_step_it_is_in_is_refused(
    kind: str, reason: str, tmp_path: Path
) -> None:
    config = config_of(
        *CURVE, "optimizer=adam", "allowed_packages=[test_together]", folder=tmp_path
    )
    config["model"]["_target_"] = f"test_together.{kind}"
    (group,), _ = sort_out([config, config])
    with pytest.raises(CannotStackError, match=reason):
        Training(group)


class Own(Module):
    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return super().training_step(batch, batch_idx)


def test_a_module_with_a_training_step_of_its_own_is_left_to_the_ordinary_way(
    tmp_path: Path,
) -> None:
    config = config_of(*CURVE, "allowed_packages=[test_together]", folder=tmp_path)
    config["model"]["_target_"] = "test_together.Own"
    _, left = sort_out([config])
    assert left == {0: "Own has a training_step of its own"}


def test_runs_with_other_data_models_or_lengths_are_other_groups(tmp_path: Path) -> None:
    configs = [
        config_of(*CURVE, *words, folder=tmp_path)
        for words in (
            ("optimizer=adam",),
            ("optimizer=sgd", "seed=4"),
            ("data.noise=0.2",),
            ("model.net.widths=[1,30,1]",),
            ("trainer.max_steps=50",),
            ("trainer.log_every_n_steps=5",),
            ("callbacks.divergence.factor=10",),
        )
    ]
    groups, left = sort_out(configs)
    assert not left
    assert [group.numbers for group in groups] == [[0, 1], [2], [3], [4], [5], [6]]
