"""The rows of a run, in memory and in metrics.csv."""

import csv
import math

import pytest

from stepsize.loggers.metrics_csv import History


@pytest.fixture
def history(tmp_path):
    rows = History(tmp_path / "metrics.csv")
    for step, loss in ((0, 4.0), (10, 1.0), (20, 2.0)):
        rows.log_metrics({"train/loss": loss, "lr/default": 0.1, "epoch": 0}, step)
    rows.log_metrics({"val/acc": 0.5}, 10)
    return rows


def test_values_of_one_step_share_a_row(history):
    assert history.rows[10] == {"train/loss": 1.0, "lr/default": 0.1, "val/acc": 0.5}


def test_the_file_has_a_column_for_each_tag_and_empty_cells(history):
    history.write()
    with history.file.open(newline="") as stream:
        table = list(csv.reader(stream))
    assert table[0] == ["step", "train/loss", "lr/default", "val/acc"]
    assert [row[3] for row in table[1:]] == ["", "0.5", ""]
    assert [path.name for path in history.file.parent.iterdir()] == ["metrics.csv"]


def test_first_final_and_best_are_those_of_losses_and_metrics(history):
    assert history.summary("train/loss", "min") == {
        "train/loss": {"first": 4.0, "final": 2.0, "best": 1.0},
        "val/acc": {"first": 0.5, "final": 0.5, "best": 0.5},
    }


def test_a_monitor_is_summarized_whatever_its_name(history):
    assert history.summary("lr/default", "max")["lr/default"]["best"] == 0.1


def test_the_mode_decides_what_the_best_value_of_the_monitor_is(history):
    assert history.summary("train/loss", "max")["train/loss"]["best"] == 4.0


@pytest.mark.parametrize("values", [(math.nan, 3.0), (math.inf, 3.0), (3.0, math.nan)])
def test_a_value_that_is_not_finite_is_never_the_best(values):
    history = History()
    for step, value in enumerate(values):
        history.log_metrics({"train/loss": value}, step)
    assert history.summary("train/loss", "min")["train/loss"]["best"] == 3.0


@pytest.mark.parametrize(
    ("value", "larger", "step"),
    [(2.0, False, 10), (1.0, False, 10), (0.5, False, None), (3, True, 0)],
)
def test_the_first_step_is_the_first_that_reaches_the_value(history, value, larger, step):
    assert history.first_step("train/loss", value, larger=larger) == step


def test_a_resumed_run_has_the_rows_without_what_only_the_end_logged(history):
    history.mark_end(25, ["train/loss"])
    history.log_metrics({"train/loss": 0.5}, 25)
    resumed = History()
    resumed.load_state_dict(history.state_dict())
    assert resumed.rows == history.rows
    resumed.drop_end()
    assert 25 not in resumed.rows
    assert resumed.rows[20] == history.rows[20]
