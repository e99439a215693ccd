"""What a real TensorBoard server shows of runs that ended in every way in which runs end."""

import csv
import json
import math
import os
import signal

import pytest
import pytorch_lightning as pl
from command_line import start_command
from conftest import composed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard_server import served

from stepsize.loggers.hparams import hparams_of
from stepsize.loggers.tags import board_tag
from stepsize.loggers.tensorboard import RowLogger
from stepsize.train import train

SHORT = ["trainer.max_steps=40", "trainer.accelerator=cpu"]
RUNS = {
    "adam": ["task=line", "optimizer=adam"],
    "lbfgs": ["task=line", "optimizer=lbfgs", "seed=1", "trainer.gradient_clip_val=1e3"],
    "diverged": ["task=line", "optimizer=sgd", "optimizer.lr=1"],
    "failed": ["task=rosenbrock", "optimizer=muon"],
    "interrupted": ["task=line", "+callbacks.end={_target_: test_tensorboard.End, how: leave}"],
    "killed": ["task=line", "+callbacks.end={_target_: test_tensorboard.End, how: die}"],
    "mlp": ["task=digits_mlp", "optimizer=adamw", "scheduler=onecycle"],
    "resumed": ["task=digits_mlp", "optimizer=adamw"],
}


class End(pl.Callback):
    """Ends the process after 20 steps, or lets it be killed."""

    def __init__(self, how):
        self.how = how

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 20:
            if self.how == "leave":
                raise SystemExit(1)
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """The folder of all runs; those that end this process run in one of their own."""
    sweep = tmp_path_factory.mktemp("runs") / "sweep"
    killed = start_command(
        *RUNS["killed"], *SHORT, "allowed_packages=[test_tensorboard]",
        f"hydra.run.dir={sweep / 'killed'}", cwd=sweep.parent,
    )  # fmt: skip
    for name, words in RUNS.items():
        if name == "killed":
            continue
        words = [*words, *SHORT, "allowed_packages=[test_tensorboard]"]
        if name == "resumed":
            whole = [*words, "trainer.max_steps=20"]
            train(composed(*whole, folder=sweep.parent / "first"))
            words.append(f"ckpt_path={sweep.parent}/first/checkpoints/last.ckpt")
        try:
            train(composed(*words, folder=sweep / name))
        except (ValueError, SystemExit):
            assert name in ("failed", "interrupted")
    assert killed.wait(120) == -signal.SIGKILL
    return sweep


@pytest.fixture(scope="module")
def board(sweep):
    def all_read(server):
        # The run that failed before its first step has final scalars only.
        return len(server.get("scalars/tags")) == len(RUNS) == len(server.rows())

    with served(sweep, all_read) as server:
        yield server


@pytest.fixture
def rows(board):
    return board.rows()


def result(sweep, name):
    return json.loads((sweep / name / "result.json").read_text())


def table(sweep, name):
    """The columns of metrics.csv by tag: values by step."""
    with (sweep / name / "metrics.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    tags = [tag for tag in lines[0] if tag != "step"]
    return {tag: {int(row["step"]): float(row[tag]) for row in lines if row[tag]} for tag in tags}


def test_each_run_by_itself_is_one_row_whose_name_begins_with_its_overrides(board):
    names = {name.rpartition("/")[2]: row["name"] for name, row in board.sessions().items()}
    assert set(names) == set(RUNS)
    assert names["lbfgs"].startswith("optimizer=lbfgs,seed=1,task=line,trainer.")
    assert names["lbfgs"].endswith(" (lbfgs)")


def test_only_a_completed_run_is_a_success(rows):
    successes = {name for name, row in rows.items() if row["status"] == "STATUS_SUCCESS"}
    assert successes == {"adam", "lbfgs", "mlp", "resumed"}
    failures = {name for name, row in rows.items() if row["status"] == "STATUS_FAILURE"}
    assert failures == {"diverged", "failed", "interrupted"}
    assert rows["killed"]["status"] in ("STATUS_UNKNOWN", "STATUS_RUNNING")


def test_a_divergence_is_told_from_a_failure_by_its_step(rows, sweep):
    at = {name: row["metrics"].get("verdict/steps_until_divergence") for name, row in rows.items()}
    assert {name for name, step in at.items() if step is not None} == {"diverged"}
    assert at["diverged"] == result(sweep, "diverged")["steps"]


def test_a_row_has_what_the_run_was_given(rows):
    row = rows["lbfgs"]
    given = {"task": "line", "optimizer": "lbfgs", "scheduler": "none", "lr": 1.0}
    given |= {"trainer.max_steps": 40, "trainer.gradient_clip_val": 1e3}
    assert {key: row[key] for key in given} == given
    assert rows["mlp"]["scheduler"] == "onecycle"
    assert rows["mlp"]["with onecycle.max_lr"] == 1e-3
    assert rows["mlp"]["with digits_mlp.model.net.widths"] == "[64, 128, 128, 10]"
    assert rows["adam"]["with adam.betas"] == "[0.9, 0.999]"
    assert rows["adam"]["with adam.amsgrad"] is False


def test_the_columns_of_all_optimizers_are_united(board, rows):
    hparams, metrics = board.columns()
    assert {"with lbfgs.history_size", "with adam.amsgrad", "with sgd.dampening"} <= set(hparams)
    assert "with adam.amsgrad" not in rows["lbfgs"]
    assert {"train/loss", "val/acc", "verdict/final_gap"} <= set(metrics)


def test_what_is_wanted_most_is_shown_unasked(board):
    hparams, metrics = board.columns()
    assert [name for name in hparams if not name.startswith("callbacks.")][:2] == [
        "lr",
        "optimizer",
    ]
    assert metrics[:5] == ["train/acc", "train/gap", "train/log10_gap", "train/loss", "val/acc"]
    assert not any(name.startswith("with ") for name in hparams[:5])


@pytest.mark.parametrize("name", ["adam", "lbfgs", "mlp", "interrupted", "resumed"])
def test_the_metrics_of_a_row_are_those_of_the_result(rows, sweep, name):
    row, told = rows[name]["metrics"], result(sweep, name)
    monitored = told["metrics"][told["monitor"]]
    expected = {f"verdict/{key}": monitored[key] for key in ("first", "final", "best")}
    expected["verdict/seconds"] = told["seconds"]
    if "train/gap" in told["metrics"]:
        expected["verdict/final_gap"] = told["metrics"]["train/gap"]["final"]
    if told["target"] and told["target"]["steps"] is not None:
        expected["verdict/steps_to_target"] = told["target"]["steps"]
    found = {tag: value for tag, value in row.items() if tag.startswith("verdict/")}
    assert found == {tag: pytest.approx(value, rel=1e-6) for tag, value in expected.items()}


def test_a_target_that_was_missed_has_no_number_of_steps(rows):
    assert "verdict/steps_to_target" in rows["lbfgs"]["metrics"]
    assert "verdict/steps_to_target" not in rows["adam"]["metrics"]


def test_no_number_of_the_end_is_infinite(rows):
    ends = [v for row in rows.values() for tag, v in row["metrics"].items() if "verdict/" in tag]
    assert all(isinstance(value, float) and math.isfinite(value) for value in ends)


def test_nothing_is_called_hp_metric(board, sweep):
    hparams, metrics = board.columns()
    tags = {tag for run in board.get("scalars/tags").values() for tag in run}
    assert not any("hp_metric" in name for name in (*hparams, *metrics, *tags))
    for file in sweep.glob("*/events.out.tfevents.*"):
        assert b"hp_metric" not in file.read_bytes()
        assert b"_hparams_/experiment" not in file.read_bytes()


@pytest.mark.parametrize("name", ["adam", "diverged", "mlp", "resumed"])
def test_the_curves_are_those_of_the_table(board, sweep, name):
    expected = table(sweep, name)
    shown = set(board.get("scalars/tags")[name])
    assert {tag for tag in shown if not tag.startswith("verdict/")} == set(map(board_tag, expected))
    for tag, values in expected.items():
        curve = board.curve(name, board_tag(tag))
        assert list(curve) == list(values), tag
        for step, value in values.items():
            if abs(value) < 1e38:  # else it is infinite in float32
                assert curve[step] == pytest.approx(value, rel=1e-6, nan_ok=True), (tag, step)


def test_the_same_thing_has_the_same_tag_in_every_task(board):
    tags = board.get("scalars/tags")
    watched = {f"watch/{name}/default" for name in ("lr", "grad_norm", "update_ratio")}
    common = {"train/loss", "val/loss", *watched}
    assert common <= set(tags["mlp"])
    assert common - {"val/loss"} | {"train/gap", "train/log10_gap"} <= set(tags["adam"])


def test_how_a_run_ended_stands_in_words_too(board, sweep):
    texts = {name: board.get("text/text", run=name, tag="result/text_summary") for name in RUNS}
    assert "completed" in texts["adam"][0]["text"]
    assert result(sweep, "diverged")["reason"].split()[0] in texts["diverged"][0]["text"]
    assert "failed: " in texts["failed"][0]["text"]
    assert texts["killed"] == []


def test_the_plot_of_the_fit_is_there(board):
    shown = board.get("images/tags")
    assert "view/fit" in shown["adam"]
    assert "view/confusion_matrix" in shown["mlp"]


def test_a_run_is_one_file_of_events(sweep):
    for name in RUNS:
        assert len(list((sweep / name).glob("events.out.tfevents.*"))) == 1, name


def read(folder):
    return EventAccumulator(str(folder)).Reload()


def test_a_model_that_saves_its_own_hyperparameters_does_not_end_the_row(tmp_path):
    logger = RowLogger(str(tmp_path))
    logger.log_hyperparams({"optimizer": "adam"})
    logger.log_hyperparams({"width": 8})  # as Lightning does for save_hyperparameters
    logger.finalize("success")
    tags = read(tmp_path).SummaryMetadata("_hparams_/session_start_info")
    assert b"optimizer" in tags.plugin_data.content
    (file,) = tmp_path.iterdir()
    assert b"width" not in file.read_bytes()
    with pytest.raises(KeyError):
        read(tmp_path).SummaryMetadata("_hparams_/session_end_info")


def test_in_a_trainer_of_ones_own_the_hyperparameters_are_the_row(tmp_path):
    logger = RowLogger(str(tmp_path))
    logger.log_hyperparams({"net": {"width": 8, "bias": None}, "betas": [0.9, 0.99]})
    logger.finalize("success")
    content = read(tmp_path).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"net.width" in content
    assert b"[0.9, 0.99]" in content
    assert b"bias" not in content


def test_watching_and_where_it_runs_are_no_columns():
    config = {
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.1, "eps": float("inf")},
        "scheduler": None,
        "param_groups": {"head": {"match": "fc", "lr": 1.0}},
        "data": {"_target_": "a.Data", "shuffle_seed": 3},
        "model": {"net": {"widths": [1, 2]}},
        "trainer": {"accelerator": "cpu", "log_every_n_steps": 1, "max_steps": 5},
        "callbacks": {"norms": {"every": 1}, "ema": {"decay": 0.9}, "plot": None},
        "seed": 3,
        "monitor": "train/loss",
    }
    choices = {"optimizer": "adam", "task": "line"}
    overrides = ["optimizer=adam", "+param_groups.head={match: fc, lr: 1.0}", "seed=3"]
    assert hparams_of(config, choices, overrides) == {
        "optimizer": "adam",
        "task": "line",
        "lr": 0.1,
        "with adam.eps": float("inf"),
        "param_groups.head.match": "fc",
        "param_groups.head.lr": 1.0,
        "trainer.max_steps": 5,
        "callbacks.ema.decay": 0.9,
        "with line.monitor": "train/loss",
        "with line.data._target_": "a.Data",
        "with line.model.net.widths": "[1, 2]",
    }
