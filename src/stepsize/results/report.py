"""Sweep folders turned into a report: a page, Markdown, a table of runs, pictures, aggregates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stepsize.results.aggregates import write_aggregates
from stepsize.results.content import build_document
from stepsize.results.curves import CachedCurves
from stepsize.results.document import Document, Figure, Folded, Part
from stepsize.results.figures.panel import write_png
from stepsize.results.markdown import render_markdown
from stepsize.results.page import render_page
from stepsize.results.read import read_sweep
from stepsize.results.settings import name_settings
from stepsize.results.tidy import write_results


def write_report(folders: Sequence[Path], out: Path, *, baseline: str | None = None) -> Path:
    """Read sweeps together and write ``report.html``, ``report.md``, ``results.csv`` and PNGs.

    TensorBoard runs of the medians over seeds go beside them. Pictures of an earlier report in the
    same folder are removed.

    Args:
        folders: of sweeps or of single runs; at least one.
        out: where it goes; made if need be.
        baseline: what paired differences are shown against: a setting's label, a method, or a
            value of what varies. None takes the sweeps' own, or a usual one.

    Returns:
        The path of ``report.html``.

    Raises:
        ValueError: a folder without runs, or no such baseline.
    """
    different = {folder.resolve(): folder for folder in folders}
    sweeps = [read_sweep(folder) for folder in different.values()]
    rows = [run for sweep in sweeps for run in sweep.runs]
    settings = name_settings(rows)
    curves_of = CachedCurves()
    document = build_document(sweeps, settings, curves_of, baseline)
    out.mkdir(parents=True, exist_ok=True)
    write_results(out / "results.csv", rows, settings)
    _write_pictures(document, out)
    write_aggregates(sweeps, out, curves_of)
    _write(out / "report.md", render_markdown(document))
    page = out / "report.html"
    _write(page, render_page(document))
    return page


def _write_pictures(document: Document, out: Path) -> None:
    for old in out.glob("*.png"):
        old.unlink()
    for figure in _figures(part for chapter in document.chapters for part in chapter.parts):
        panels = [figure.wide] if figure.wide else figure.panels
        write_png(panels, out / f"{figure.name}.png")


def _figures(parts: Iterable[Part]) -> Iterator[Figure]:
    for part in parts:
        if isinstance(part, Figure):
            yield part
        elif isinstance(part, Folded):
            yield from _figures(part.parts)


def _write(file: Path, text: str) -> None:
    """Whole or not at all: a sweep may be cut off while its report is written."""
    part = file.with_suffix(".part")
    part.write_text(text, "utf-8")
    os.replace(part, file)
