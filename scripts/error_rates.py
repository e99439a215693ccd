"""How often the report is wrong: the error rates and the power of its claims, by simulation.

    python scripts/error_rates.py --trials 1000

Every trial writes final losses of settings into the objects that a report is made of, and asks its
answer. ``docs/statistics.md`` has the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stepsize.report.answer import TaskAnswer, answer_sweeps
from stepsize.report.read import RunRow, Sweep

SEEDS = (3, 5, 6, 10, 30)
SETTINGS = (2, 10)
Draw = Callable[[np.random.Generator, int, int], np.ndarray]


def gaussian(generator: np.random.Generator, seeds: int, settings: int) -> np.ndarray:
    """Log-normal losses: luck of the seed, which all settings share, and luck of each run."""
    return generator.normal(0, 1, (seeds, 1)) + generator.normal(0, 1, (seeds, settings))


def skewed(generator: np.random.Generator, seeds: int, settings: int) -> np.ndarray:
    """As :func:`gaussian`, where the luck of each run has a long tail on the bad side."""
    return generator.normal(0, 1, (seeds, 1)) + generator.exponential(1, (seeds, settings))


def answer_of(log_losses: np.ndarray) -> TaskAnswer:
    """The report's answer for these losses.

    Args:
        log_losses: [seeds, settings].
    """
    rows = [
        RunRow(
            sweep="s", run=f"{setting} {seed}", folder=Path(f"{setting} {seed}"), stage="compare",
            status="completed", reason=None, task="t", optimizer=f"optimizer{setting}",
            scheduler="none", param_groups="none", seed=seed, lr=None, overrides=(), steps=100,
            metrics={"train/loss": {"first": 1.0, "final": loss, "best": loss}},
            config_hash=f"{setting} {seed}",
        )
        for (seed, setting), loss in np.ndenumerate(np.exp(log_losses))
    ]  # fmt: skip
    (task,) = answer_sweeps([Sweep(Path("s"), "s", (), (), None, {}, rows)]).tasks
    return task


def false_claims(draw: Draw, seeds: int, settings: int, trials: int) -> float:
    """The share of answers that call the best of equal settings significantly better than any."""
    generator = np.random.default_rng(seeds)
    answers = (answer_of(draw(generator, seeds, settings)) for _ in range(trials))
    return sum(any(d.significant for d in each.against_best) for each in answers) / trials


def power(draw: Draw, seeds: int, settings: int, trials: int, effect: float) -> float:
    """The share of settings, worse by ``effect`` deviations, that are called worse than the best.

    Half of the settings are equally good, the others are worse.
    """
    generator = np.random.default_rng(seeds)
    good = settings // 2
    found = compared = 0
    for _ in range(trials):
        log_losses = draw(generator, seeds, settings)
        log_losses[:, good:] += effect
        for difference in answer_of(log_losses).against_best:
            if int(difference.setting.removeprefix("optimizer")) >= good:
                compared += 1
                found += difference.significant and difference.verdict == "worse"
    return found / max(compared, 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    titles = "seeds, settings, false claims, of skewed losses, power at 1, at 2, at 4 deviations"
    print("|", titles.replace(", ", " | "), "|")
    print("|", " | ".join(["---:"] * len(titles.split(", "))), "|")
    for seeds in SEEDS:
        for settings in SETTINGS:
            rates = [false_claims(draw, seeds, settings, trials) for draw in (gaussian, skewed)]
            rates += [power(gaussian, seeds, settings, trials // 5, by) for by in (1, 2, 4)]
            cells = " | ".join(f"{100 * rate:.1f}%" for rate in rates)
            print(f"| {seeds} | {settings} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
