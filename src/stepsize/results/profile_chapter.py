"""The chapter on all tasks together: performance profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stepsize.results.colours import Look, ordered_looks
from stepsize.results.comparison import TaskComparison
from stepsize.results.document import Figure, Part, Text
from stepsize.results.figures.profile import ProfileFigure
from stepsize.results.profiles import MINIMUM_PROBLEMS, performance_profile
from stepsize.results.wording import count, listed


def profile_parts(
    comparisons: Sequence[TaskComparison], by_method: Mapping[str, Look]
) -> Iterator[Part]:
    """Who meets how many targets within what multiple of the fastest; or why there is no answer."""
    entries = [entry for comparison in comparisons for entry in comparison.leaders]
    one_method = len({entry.setting.method for entry in entries}) == 1
    costs: dict[str, dict[str, float]] = {}
    tasks = set()
    for comparison in comparisons:
        for entry in comparison.leaders:
            cost = entry.median_target_steps
            if cost is not None:
                solver = entry.setting.label if one_method else entry.setting.method
                costs.setdefault(solver, {})[comparison.task] = max(cost, 1.0)
                tasks.add(comparison.task)
    whole = {solver: row for solver, row in costs.items() if len(row) == len(tasks)}
    noun = "setting" if one_method else "method"
    if len(tasks) < MINIMUM_PROBLEMS or len(whole) < 2:
        yield Text(
            f"A performance profile compares two {noun}s or more on {MINIMUM_PROBLEMS} tasks or "
            f"more that have a target; here {count(len(whole), noun)} on "
            f"{count(len(tasks), 'task')}.",
            True,
        )
        return
    profile = performance_profile(whole)
    by_solver = (
        dict(zip(whole, ordered_looks(len(whole)), strict=True)) if one_method else by_method
    )
    solving = [solver for solver in profile.solvers if profile.shares[solver][-1] > 0]
    drawing = ProfileFigure(profile, solving, by_solver)
    each = "a setting" if one_method else "a method at its best setting"
    yield Text(
        f"On how many of the {len(tasks)} tasks {each} meets the target within a multiple of the "
        "steps of the fastest (median over seeds; Dolan and More, 2002)."
    )
    if solving:
        yield Figure(
            "profiles",
            "share of tasks solved against the factor to the fastest",
            drawing.figure(wide=True),
            drawing.figure(wide=False),
        )
    never = [f"`{solver}`" for solver in profile.solvers if solver not in solving]
    if never:
        yield Text(f"Met no target on any task: {listed(never, most=20)}.", True)
    left_out = sorted(set(costs) - set(whole))
    if left_out:
        names = listed([f"`{name}`" for name in left_out])
        yield Text(f"Not in it, for want of a result on some task: {names}.", True)
    yield Text(
        "The left end says how often each is the fastest, the right end how often it meets "
        "the target at all. It tells the best at each multiple, and does not rank the rest.",
        True,
    )
