"""The page in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import headless_chromium
import pytest
from headless_chromium import Tab
from synthetic_sweeps import write_sweep

from stepsize.report.report import write_report

WIDTHS = {"a phone": 390, "a desktop": 1280}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything in it: long names, many methods, failures, edges, profiles."""
    folder = tmp_path_factory.mktemp("sweep")
    varied = {
        "task": ["line", "curve", "blobs", "quadratic"],
        "optimizer": ["sgd", "adam", "nadam", "rmsprop", "lion", "adafactor"],
        "optimizer.lr": [0.01, 0.1],
        "seed": range(2),
    }
    special = {
        "optimizer=sgd,optimizer.lr=0.1,seed=0,task=line": {"status": "diverged", "end": 100},
        "optimizer=sgd,optimizer.lr=0.1,seed=1,task=line": {"status": "failed", "end": 100},
    }
    write_sweep(folder / "a_long_name_without_spaces" / "of_a_sweep", varied, special=special)
    return write_report([folder / "a_long_name_without_spaces" / "of_a_sweep"], folder / "report")


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    if headless_chromium.EXECUTABLE is None:
        pytest.skip(f"needs a browser: none of {', '.join(headless_chromium.NAMES)} is installed")
    with headless_chromium.open_tab() as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_it_renders_without_scrolling_sideways(tab: Tab, page: Path, width: int, scheme: str):
    tab.show(page, width, scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    shown = tab.evaluate(
        "[...document.querySelectorAll('figure svg')].filter(s => s.getBoundingClientRect().width)"
        ".length"
    )
    drawn = tab.evaluate("document.querySelectorAll('figure svg').length")
    assert 0 < shown < drawn  # of the wide and the narrow variant one
    assert tab.complaints == []


def test_it_asks_for_nothing_but_itself(tab: Tab, page: Path):
    tab.show(page, 1280)
    assert [address for address in tab.requested if not address.startswith("data:")] == [
        page.as_uri()
    ]


def test_it_names_no_address_to_load_from(page: Path):
    text = page.read_text("utf-8")
    assert not re.search(r"(src|href)\s*=\s*[\"']?\s*(https?:)?//", text)
    assert "url(http" not in text
    assert "@import" not in text
    assert not re.search(r"<script[^>]*src|import\s*\(", text)


def test_dark_is_dark_and_light_is_light_in_figures_too(tab: Tab, page: Path):
    def lightness(selector: str, what: str) -> float:
        colour = tab.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{what}")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    tab.show(page, 1280, "light")
    assert lightness("body", "backgroundColor") > 240
    assert lightness("figure svg text", "fill") < 130
    tab.show(page, 1280, "dark")
    assert lightness("body", "backgroundColor") < 40
    assert lightness("figure svg text", "fill") > 130


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_text_in_figures_is_large_enough_to_read(tab: Tab, page: Path, width: int):
    tab.show(page, width)
    smallest = tab.evaluate(
        "Math.min(...[...document.querySelectorAll('figure svg text')]"
        ".map(t => t.getBoundingClientRect().height).filter(h => h > 0))"
    )
    assert smallest >= 8


def test_names_at_the_ends_of_curves_do_not_overlap(tab: Tab, page: Path):
    for width in WIDTHS.values():
        tab.show(page, width)
        boxes = tab.evaluate(
            "[...document.querySelectorAll('figure > div > svg')].filter(s => s.getBoundingClient"
            "Rect().width).map(s => [...s.querySelectorAll('text')].filter(t => t.textContent."
            "match(/^(sgd|adam|nadam|rmsprop|lion|adafactor)/)).map(t => {const r = "
            "t.getBoundingClientRect(); return [r.left, r.right, r.top + 0.25 * r.height, r.bottom"
            " - 0.25 * r.height]}))"
        )
        assert any(len(names) > 3 for names in boxes)
        for names in boxes:
            for place, (left, right, top, bottom) in enumerate(names):
                assert right <= width
                for left2, right2, top2, bottom2 in names[place + 1 :]:
                    apart = right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top
                    assert apart


def test_every_figure_refers_to_parts_of_its_own(page: Path):
    text = page.read_text("utf-8")
    defined = re.findall(r' id="([^"]+)"', text)
    assert len(defined) == len(set(defined))
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
    assert {first or second for first, second in used} <= set(defined)
