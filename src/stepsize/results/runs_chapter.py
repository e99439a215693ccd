"""The last chapter: what was run, what became of it, and how to run it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from stepsize.results.document import Bullets, Code, Folded, Part, Text
from stepsize.results.rows import Sweep
from stepsize.results.tables import grid_table, trouble_table
from stepsize.results.wording import count, listed


def run_parts(sweeps: Sequence[Sweep]) -> Iterator[Part]:
    """The grid, what did not end well, what was not planned, commands and versions."""
    rows = [run for sweep in sweeps for run in sweep.runs]
    yield grid_table(rows)
    statuses = Counter(run.status for run in rows)
    if set(statuses) - {"completed"}:
        others = [f"{amount} {s}" for s, amount in statuses.most_common() if s != "completed"]
        table, more = trouble_table(sweeps)
        parts: list[Part] = [table]
        if more:
            parts.append(Text(f"{more} more are in `results.csv`.", True))
        yield Folded(f"{count(len(rows), 'run')}, of which {listed(others)}", parts)
    else:
        yield Text(f"All {count(len(rows), 'run')} were completed, no cell of the grid is missing.")
    left_out = [entry for sweep in sweeps for entry in sweep.left_out]
    if left_out:
        yield Text("Not planned, because it cannot run:")
        yield Bullets([f"`{' '.join(e['overrides'])}`: {e['reason']}" for e in left_out])
    commands = [command for sweep in sweeps for command in sweep.commands]
    if commands:
        yield Text("To repeat it:")
        yield Code(commands)
    versions = {tuple(sorted(sweep.versions.items())) for sweep in sweeps if sweep.versions}
    versions |= {tuple(sorted(run.versions.items())) for run in rows if run.versions}
    if len(versions) > 1:
        yield Text(f"**The runs were made with {len(versions)} sets of versions:**")
    else:
        yield Text("Versions:")
    yield Bullets([", ".join(f"{name} {v}" for name, v in each) for each in sorted(versions)])
