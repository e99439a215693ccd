"""What holds for the answer of any sweep, tried on generated ones."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from documents import ROOT
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stepsize.report.answer import SweepAnswer, answer_sweeps
from stepsize.report.answer_file import SCHEMA, answer_dict, write_answer
from stepsize.report.columns import short_table
from stepsize.report.document import Table
from stepsize.report.read import RunRow, Sweep, Target

OPTIMIZERS = ("sgd", "adam", "lion")
# Few values, so that settings tie; some differ by less than the rounding error of a gap.
VALUES = st.sampled_from([0.1, 0.1 + 1e-9, 0.2, 0.3, 1.0, 1e-18, 2e-18])
STATUSES = st.sampled_from(["completed"] * 6 + ["diverged", "failed", "interrupted", "missing"])


def run_row(number: int, given_: dict[str, Any]) -> RunRow:
    status, loss, seed = given_["status"], given_["loss"], given_["seed"]
    finished = status in ("completed", "diverged")
    final = None if status == "diverged" else loss
    metrics = {tag: {"first": 9.0, "final": final, "best": loss} for tag in given_["tags"]}
    optimizer, overrides = given_["optimizer"], [f"optimizer={given_['optimizer']}", f"seed={seed}"]
    overrides += [f"{key}={value}" for key, value in given_["others"].items()]
    return RunRow(
        sweep="s", run=str(number), folder=Path(f"s/{number}"), stage=given_["stage"],
        status=status, reason=None, task=given_["task"], optimizer=optimizer, scheduler="none",
        param_groups="none", seed=seed, lr=given_["lr"], overrides=tuple(overrides),
        steps=100 * finished, seconds=1.0 if finished else None, monitor=given_["tags"][0],
        mode="min", objective=final, metrics=metrics if finished else {},
        optimum=0.0 if "train/gap" in given_["tags"] else None,
        target=Target("train/loss", 0.2, 50 if loss <= 0.2 else None),
        config_hash=f"{given_['task']} {sorted(overrides)}",
    )  # fmt: skip


RUNS = st.fixed_dictionaries(
    {
        "status": STATUSES,
        "loss": VALUES,
        "seed": st.integers(0, 7),
        "optimizer": st.sampled_from(OPTIMIZERS),
        "stage": st.sampled_from(["compare"] * 5 + ["tune"]),
        "task": st.sampled_from(["line"] * 4 + ["curve"]),
        "lr": st.sampled_from([0.1, 0.1, 1.0, None]),
        "tags": st.sampled_from(
            [("train/loss",), ("train/loss", "train/gap"), ("val/loss", "train/loss")]
        ),
        "others": st.dictionaries(st.sampled_from(["data.seed", "model.width"]), st.just(3)),
    }
)


def answered(*runs: dict[str, Any]) -> SweepAnswer:
    rows = [run_row(number, each) for number, each in enumerate(runs)]
    return answer_sweeps([Sweep(Path("s"), "s", (), (), None, {}, rows)])


SWEEPS = st.lists(RUNS, min_size=1, max_size=24).map(lambda runs: answered(*runs))
generated = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(optimizer: str, seed: int, loss: float, **others: Any) -> dict[str, Any]:
    return {
        "status": "completed", "loss": loss, "seed": seed, "optimizer": optimizer, "lr": 0.1,
        "stage": "compare", "task": "line", "tags": ("train/loss",), "others": {}, **others,
    }  # fmt: skip


UNEQUAL_SEEDS = answered(
    *(run("adam", seed, 0.1 + seed / 100) for seed in range(10)),
    *(run("lion", seed, 0.3 + seed / 100) for seed in range(10)),
    *(run("sgd", seed, 1.0 + seed / 100) for seed in range(3)),
)
NO_COMMON_SEED = answered(
    *(run("adam", seed, 0.1 + seed / 100) for seed in range(3)),
    *(run("sgd", seed, 0.2) for seed in range(5, 8)),
)
# Most seeds favour adam, so that its median is lower; the others favour sgd by far more.
SKEWED = answered(
    *(run("adam", seed, 0.10 if seed < 7 else 1.0) for seed in range(13)),
    *(run("sgd", seed, 0.11 if seed < 7 else 0.2) for seed in range(13)),
)
# The optimum is known for the data of one seed only.
SOME_OPTIMA = answered(
    *(run("sgd", seed, 0.1, others={"data.seed": 0}) for seed in range(3)),
    *(
        run("sgd", seed, 0.2, others={"data.seed": 3}, tags=("train/loss", "train/gap"))
        for seed in range(3)
    ),
)


@generated
@given(SWEEPS)
@example(SOME_OPTIMA)
def test_every_completed_run_counts_or_a_caveat_says_why_not(answer: SweepAnswer):
    for task in answer.tasks:
        comparison = task.comparison
        counted = [run for entry in comparison.entries for run in entry.runs]
        assert len({run.folder for run in counted}) == len(counted)
        ranked = [run for run in comparison.runs if run.stage != "tune" and run.finished]
        unlogged = sum(comparison.measure.of(run, "final") is None for run in ranked)
        assert sum(entry.n for entry in comparison.entries) == len(ranked) - unlogged
        caveats = " ".join(task.conclusion.caveats)
        assert (unlogged > 0) <= ("cannot be ranked" in caveats)
        of_task = [row for row in answer.rows if row.task == task.task]
        assert len(of_task) - len(comparison.runs) == comparison.repeats
        assert (comparison.repeats > 0) == (
            "not counted" in caveats.replace("not counted in n", "")
        )


@generated
@given(SWEEPS)
@example(SKEWED)
def test_the_headline_names_the_setting_that_the_table_has_first(answer: SweepAnswer):
    for task in answer.tasks:
        known, headline = task.comparison.known, task.conclusion.headline
        orders = [entry.order for entry in task.comparison.entries]
        assert orders == sorted(orders)
        if known and math.isfinite(known[0].median):
            assert f"`{known[0].setting.label}`" in headline
        assert ("only one setting" in headline) == (
            len(known) == 1 and math.isfinite(known[0].median)
        )


@generated
@given(SWEEPS)
@example(UNEQUAL_SEEDS)
@example(NO_COMMON_SEED)
@example(SKEWED)
def test_no_sentence_contradicts_a_comparison(answer: SweepAnswer):
    for task in answer.tasks:
        kinds = {
            "significantly better than": lambda d: d.significant and d.verdict == "worse",
            "significantly better (": lambda d: d.significant and d.verdict == "better",
            "does not differ significantly": lambda d: not d.significant and d.pair.n > 5,
            "no seed in common": lambda d: d.pair.n == 0,
            "no difference from": lambda d: 0 < d.pair.n < 6,
        }
        known = {difference.setting: difference for difference in task.against_best}
        for sentence in task.conclusion.sentences:
            for words, holds in kinds.items():
                if words in sentence:
                    named = set(re.findall("`([^`]*)`", sentence)) & set(known)
                    assert all(holds(known[name]) for name in named), sentence
        said = " ".join(task.conclusion.sentences)
        claims = [difference for difference in known.values() if difference.significant]
        assert not claims or "significantly better" in said
        assert all(float(p) <= 1 for p in re.findall(r"p is ([\d.]*\d)", said))


@generated
@given(SWEEPS)
def test_the_order_of_the_runs_does_not_change_the_ranking(answer: SweepAnswer):
    (sweep,) = answer.sweeps
    rows = list({row.config_hash: row for row in sweep.runs}.values())  # repeats: the last counts
    first, second = (
        answer_sweeps([Sweep(Path("s"), "s", (), (), None, {}, order)])
        for order in (rows, rows[::-1])
    )
    orders = [
        {task.task: [entry.order for entry in task.comparison.entries] for task in each.tasks}
        for each in (first, second)
    ]
    assert orders[0] == orders[1]


@generated
@given(SWEEPS)
def test_answer_json_says_what_the_object_says(tmp_path_factory: Any, answer: SweepAnswer):
    file = tmp_path_factory.getbasetemp() / "answer.json"
    write_answer(file, answer)
    read = json.loads(file.read_text("utf-8"), parse_constant=lambda name: 1 / 0)
    assert read["schema"] == SCHEMA
    for task, found in zip(answer.tasks, read["tasks"], strict=True):
        assert found["headline"] == task.conclusion.headline
        assert [each["n"] for each in found["settings"]] == [e.n for e in task.comparison.entries]
        assert [each["p_adjusted"] for each in found["against_best"]] == [
            difference.p for difference in task.against_best
        ]
        table: Table = short_table(task)
        leaders = [each["setting"] for each in found["settings"] if each["best_of_method"]]
        assert [row[0] for row in table.rows] == leaders


@generated
@given(SWEEPS)
@example(UNEQUAL_SEEDS)
def test_the_short_answer_has_three_lines_at_most(answer: SweepAnswer):
    assert 1 <= len(answer.short) <= 3


def test_a_setting_with_fewer_seeds_takes_no_test_from_the_others():
    (task,) = UNEQUAL_SEEDS.tasks
    said = " ".join(task.conclusion.sentences)
    assert "significantly better than `lion`" in said
    assert "With 3 common seeds no difference from `sgd`" in said


def test_settings_without_a_common_seed_have_no_p():
    (task,) = NO_COMMON_SEED.tasks
    assert task.against_best[0].p is None
    assert "`sgd` has no seed in common with it" in " ".join(task.conclusion.sentences)


def test_a_setting_that_is_better_by_the_test_and_not_by_the_median_is_called_better():
    (task,) = SKEWED.tasks
    assert task.conclusion.headline.startswith("`adam` ends lowest: median")
    assert task.conclusion.certainty is not None
    assert task.conclusion.certainty.startswith("Only by the median: paired by seed, `sgd` is sig")


def test_where_some_optima_are_unknown_the_monitor_ranks_all_runs():
    (task,) = SOME_OPTIMA.tasks
    assert task.measure.tag == "train/loss"
    assert [entry.n for entry in task.comparison.entries] == [3, 3]
    assert [e.setting.label for e in task.comparison.entries] == [
        "sgd data.seed=0",
        "sgd data.seed=3",
    ]
    assert "known for 3 of 6 completed runs only" in " ".join(task.conclusion.caveats)


def test_every_key_of_answer_json_is_documented(tmp_path: Path):
    """``docs/answer.md`` lists each key once, as `key` or `key.key`."""

    def keys(value: Any, path: str = "") -> set[str]:
        if isinstance(value, list):
            return set().union(*(keys(each, path) for each in value))
        if not isinstance(value, dict) or path.endswith((".values", "statuses")):
            return set()
        own = {f"{path}.{key}".lstrip(".") for key in value}
        return own.union(*(keys(each, f"{path}.{key}".lstrip(".")) for key, each in value.items()))

    tuning = [run("adam", seed, 0.1, stage="tune") for seed in (7, 8)]
    tested = [run(name, seed, 0.1, stage="test") for name in OPTIMIZERS for seed in (0, 1)]
    tuned = answered(*tuning, *tested)
    text = (ROOT / "docs" / "answer.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE))
    found = keys(answer_dict(tuned, tmp_path))
    aliases = {"tasks.tuning": "tasks.settings", "tasks.against_best": "tasks.against_baseline"}
    for alias, known in aliases.items():
        found = {re.sub(rf"^{alias}\.", f"{known}.", key) for key in found}
    assert found == documented
    assert f"schema {SCHEMA}" in text
