from __future__ import annotations

import pytest

from stepsize.loggers.tags import board_tag


@pytest.mark.parametrize(
    ("tag", "shown"),
    [
        ("train/loss", "train/loss"),
        ("val_loss", "val_loss"),
        ("loss", "loss"),
        ("lr/head", "watch/lr/head"),
        ("grad_norm/default", "watch/grad_norm/default"),
        ("acc", "value/acc"),
        ("aux/loss", "value/aux/loss"),
        ("1/loss", "value/1/loss"),
        ("Batch/x", "value/Batch/x"),
        ("_x/y", "value/_x/y"),
    ],
)
def test_no_tag_of_a_run_comes_before_the_comparison_of_a_report(tag: str, shown: str):
    assert board_tag(tag) == shown
    assert board_tag(tag).partition("/")[0] > "compare"
