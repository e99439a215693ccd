"""TensorBoard's first screen after a sweep, in a real browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import headless_chromium
import pytest
from command_line import run_command
from headless_chromium import Tab
from tensorboard_server import served

from stepsize.report.answer import answer_sweeps
from stepsize.report.line_styles import looks
from stepsize.report.read import read_sweep
from stepsize.report.tensorboard import PLACES
from stepsize.run.links import report_link, runs_link

OPTIMIZERS = ("sgd", "adam", "rmsprop", "adagrad", "nadam")
# TensorBoard's palette, in the order in which runs get its colours.
PALETTE = ("#425066", "#12b5cb", "#e52592", "#f9ab00", "#9334e6", "#7cb342", "#e8710a")
SCREEN = (1440, 900)

# The cards in their order: title, end of the chart, and the rows of the table below it.
_CARDS = """JSON.stringify([...document.querySelectorAll('card-view')].map(card => ({
  title: (card.querySelector('tb-truncated-path') || card).innerText.replace(/\\s+/g, ''),
  bottom: card.querySelector('line-chart')?.getBoundingClientRect().bottom ?? Infinity,
  rows: [...card.querySelectorAll('tb-data-table-content-row')].map(row => ({
    text: row.innerText.split(/[\\t\\n]+/).filter(cell => cell.trim()),
    colour: [...row.querySelectorAll('*')].map(e => getComputedStyle(e).backgroundColor)
      .find(colour => /^rgb\\(/.test(colour)),
  })),
})))"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    done = run_command(
        "-m", "task=line", f"optimizer={','.join(OPTIMIZERS)}", "seed=0,1,2", "name=first",
        "trainer.max_steps=60", "plots=false", "hydra/launcher=vectorized", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "outputs" / "sweeps" / "first"


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    if headless_chromium.EXECUTABLE is None:
        pytest.skip(f"needs a browser: none of {', '.join(headless_chromium.NAMES)} is installed")
    with headless_chromium.open_tab() as opened:
        yield opened


def cards_of(tab: Tab, logdir: Path, runs: int, query: str = "") -> list[dict[str, Any]]:
    """The cards that TensorBoard shows without a click, once the first one has its lines."""
    with served(logdir, lambda server: len(server.get("scalars/tags")) >= runs) as server:
        tab.show(f"{server.address}/{query}", *SCREEN[:1], height=SCREEN[1])
        deadline = time.monotonic() + 60
        while True:
            cards = json.loads(tab.evaluate(_CARDS))
            if cards and len(cards[0]["rows"]) >= len(OPTIMIZERS):
                return cards
            assert time.monotonic() < deadline, cards
            time.sleep(0.5)


def hexadecimal(colour: str) -> str:
    """``#12b5cb`` of ``rgb(18, 181, 203)``."""
    return "#" + "".join(f"{int(part):02x}" for part in colour[4:-1].split(","))


@pytest.mark.parametrize("shown", ["outputs", "the sweep", "its report"])
def test_it_opens_on_one_line_for_each_optimizer_without_a_click(tab: Tab, sweep: Path, shown: str):
    logdir = {"outputs": sweep.parents[1], "the sweep": sweep, "its report": sweep / "report"}[
        shown
    ]
    first = cards_of(tab, logdir, len(OPTIMIZERS))[0]
    assert first["title"] == "compare/linetrain/gaplog10"
    assert first["bottom"] < SCREEN[1]
    names = [row["text"][0].rpartition("/")[2] for row in first["rows"]]
    assert set(names) == {*OPTIMIZERS, "target 0.001"}


def test_the_lines_have_the_values_and_the_colours_of_the_report(tab: Tab, sweep: Path):
    answer = answer_sweeps([read_sweep(sweep)])
    by_method = looks(answer.settings)
    rows = cards_of(tab, sweep / "report", len(OPTIMIZERS))[0]["rows"]
    found = {row["text"][0]: hexadecimal(row["colour"]) for row in rows}
    taken = [PLACES.index(by_method[name].colour) for name in OPTIMIZERS]
    assert len(set(taken)) == len(taken)  # so that each can have its own
    assert {name: found[name] for name in OPTIMIZERS} == {
        name: PALETTE[place] for name, place in zip(OPTIMIZERS, taken, strict=True)
    }


def test_the_links_of_the_terminal_open_the_comparison_and_the_coloured_runs(tab: Tab, sweep: Path):
    query = report_link().partition("6006/")[2]
    cards = cards_of(tab, sweep, len(OPTIMIZERS), query)
    shown = [card for card in cards if card["title"]]
    assert [card["title"] for card in shown] == ["compare/linetrain/gaplog10"]
    # Run, value, step and time: without smoothing there is no smoothed value.
    assert {len(row["text"]) for row in shown[0]["rows"]} == {4}
    names = [run.run for run in read_sweep(sweep).runs]
    cards = cards_of(tab, sweep, len(names), runs_link(names).partition("6006/")[2])
    assert [card["title"] for card in cards if card["title"]] == ["train/loss"]
    colours: dict[str, set[str]] = {}
    for row in cards[0]["rows"]:
        optimizer = row["text"][0].partition(",")[0]
        colours.setdefault(optimizer, set()).add(row["colour"])
    assert set(colours) == {f"optimizer={name}" for name in OPTIMIZERS}
    assert all(len(each) == 1 for each in colours.values())
    assert len(set.union(*colours.values())) == len(OPTIMIZERS)
