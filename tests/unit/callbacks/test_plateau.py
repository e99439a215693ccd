"""ReduceLROnPlateau on a monitor that has no value when the run begins."""

import logging

import pytest

WORDS = [
    "task=digits_mlp", "scheduler=plateau", "callbacks.plot=null",
    "trainer.log_every_n_steps=1",
]  # fmt: skip


def rates(finished):
    return list(finished.curve("lr/default").values())


def test_a_plateau_counts_nothing_before_the_first_validation(run):
    finished = run(
        *WORDS, "scheduler.interval=step", "scheduler.patience=10", "trainer.max_steps=40"
    )
    # The best of 23 steps, then eleven steps without a better one.
    assert rates(finished) == pytest.approx([1e-3] * 34 + [1e-4] * 6)


def test_a_plateau_waits_for_the_first_epoch_with_a_validation(run):
    finished = run(
        *WORDS, "scheduler.interval=epoch", "scheduler.patience=0", "scheduler.threshold=0.99",
        "trainer.max_steps=115", "trainer.val_check_interval=46",
    )  # fmt: skip
    # Epochs of 23 steps: the second has the first value, the third is not better.
    assert rates(finished)[68:70] == pytest.approx([1e-3, 1e-4])


def test_a_plateau_on_a_training_metric_starts_with_the_first_step(run):
    finished = run(
        "task=line", "scheduler=plateau", "scheduler.interval=step", "scheduler.patience=0",
        "scheduler.threshold=0.99", "callbacks.plot=null", "trainer.log_every_n_steps=1",
        "trainer.max_steps=4",
    )  # fmt: skip
    assert rates(finished) == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])


def test_a_plateau_that_never_had_a_value_is_spoken_of(run, caplog):
    with caplog.at_level(logging.WARNING):
        run(*WORDS, "trainer.max_steps=30", "trainer.val_check_interval=1000")
    assert "scheduler.monitor=val/loss had no value" in caplog.text
