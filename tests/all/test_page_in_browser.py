"""The page in a real browser."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import headless_chromium
import numpy as np
import pytest
from headless_chromium import Tab
from synthetic_sweeps import write_sweep

from stepsize.report.report import write_report

WIDTHS = {"a phone": 390, "a desktop": 1280}
PAPER = {"A4": (8.27, 11.69), "Letter": (8.5, 11.0)}  # inches
MARGIN = 12 / 25.4  # at each side, in page.css


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
    return write_report(
        [folder / "a_long_name_without_spaces" / "of_a_sweep"], folder / "report"
    ).page


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report like that of ``sweep=quick``: five optimizers, eight seeds; one of them diverges."""
    folder = tmp_path_factory.mktemp("quick")
    varied = {"optimizer": ["sgd", "adam", "nadam", "rmsprop", "adagrad"], "seed": range(8)}
    special = {
        f"optimizer=sgd,seed={seed}": {"status": "diverged", "end": 200} for seed in range(5)
    }
    write_sweep(folder / "quick", varied, special=special)
    return write_report([folder / "quick"], folder / "quick" / "report").page


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
    assert "Runtime.exceptionThrown" not in [event.get("method") for event in tab.events]


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


def test_the_first_screen_has_the_answer_and_the_learning_curves(tab: Tab, quick: Path):
    tab.show(quick, 1440)
    for selector in (".headline", "figure svg"):
        top, bottom = tab.evaluate(
            f"(() => {{const r = document.querySelector('{selector}').getBoundingClientRect();"
            "return [r.top, r.bottom]})()"
        )
        assert 0 < top < bottom <= 900
    assert "target 0.001" in tab.evaluate("document.querySelector('figure svg').textContent")


def test_text_tables_and_figures_have_one_width_and_five_panels_are_in_one_row(
    tab: Tab, quick: Path
):
    tab.show(quick, 1440)
    edges = tab.evaluate(
        "[...document.querySelectorAll('.answer, figure, table.whole, .quiet, pre')].filter("
        "part => !part.closest('details')).map(part => {const r = part.getBoundingClientRect();"
        "return `${Math.round(r.left)} ${Math.round(r.right)}`})"
    )
    assert len(edges) > 8
    assert len(set(edges)) == 1
    tops = tab.evaluate(
        "[...document.querySelectorAll('.panels svg')].map(s => s.getBoundingClientRect().top)"
    )
    assert len(tops) == 5
    assert len(set(tops)) == 1


def test_every_figure_names_its_axes(tab: Tab, page: Path):
    tab.show(page, 1280)
    figures = tab.evaluate(
        "[...document.querySelectorAll('figure svg')].map(s => [s.textContent, s.dataset.axes])"
    )
    assert any("final train/gap" in text and "learning rate" in text for text, _ in figures)
    for text, axes in figures:
        names = re.findall(r'"[xy]": \["([^"]*)"', axes)
        assert names[0]
        assert names[1] or "ratio to" in names[0]  # the rows of a forest plot have names instead
        assert all(name in text for name in names)


def test_a_click_on_a_heading_sorts_numbers_with_infinity_and_dashes_last(tab: Tab, quick: Path):
    tab.show(quick, 1440)
    table = "document.querySelector('table')"
    titles = tab.evaluate(f"[...{table}.tHead.rows[0].cells].map(cell => cell.innerText)")

    def column(title: str) -> list[str]:
        place = titles.index(title)
        return tab.evaluate(
            f"[...{table}.tBodies[0].rows].map(row => row.cells[{place}].innerText.trim())"
        )

    def press(title: str, how: str) -> str:
        place = titles.index(title)
        heading = f"{table}.tHead.rows[0].cells[{place}]"
        tab.evaluate(f"{heading}.firstChild.{how}")
        return tab.evaluate(f"{heading}.getAttribute('aria-sort')")

    enter = "dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'}))"
    ranked = column("setting")
    assert column("final\nmedian")[-1] == "\u221e"
    assert press("final\nmedian", "click()") == "ascending"
    assert column("setting") == ranked
    assert press("final\nmedian", enter) == "descending"
    assert column("setting") == [*reversed(ranked[:-1]), "sgd"]  # sgd has no finite median
    assert press("setting", "click()") == "ascending"
    assert column("setting") == sorted(ranked)
    for _ in range(2):
        press("final\ngeo. mean", "click()")
        assert column("final\ngeo. mean")[-1] == "\u2013"
    diverged = column("diverged")
    assert diverged.count("5") == 1
    press("diverged", "click()")
    assert column("diverged") == ["0", "0", "0", "0", "5"]


def test_a_curve_shows_its_setting_step_and_value_under_the_pointer(tab: Tab, quick: Path):
    tab.show(quick, 1440)
    for setting in ("nadam", "adagrad"):
        for place in (13, 26, 40):  # of 41 logged rows, one every 10 steps
            x, y = tab.evaluate(
                "(() => {const svg = document.querySelector('figure svg'), r = svg."
                f"getBoundingClientRect(), point = points(svg.querySelector('.curve[data-line="
                f"{setting}]'))[{place}], scale = r.width / svg.viewBox.baseVal.width;"
                "return [r.left + scale * point[0], r.top + scale * point[1]]})()"
            )
            tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
            shown = tab.evaluate("document.querySelector('.tip.on').textContent").split("\n")
            median = np.median(
                [
                    float(list(csv.DictReader(file.read_text().splitlines()))[place]["train/gap"])
                    for file in (quick.parent.parent).glob(f"optimizer={setting},*/metrics.csv")
                ]
            )
            assert shown[:2] == [setting, f"step {10 * place}"]
            assert shown[2].startswith("train/gap ")
            assert float(shown[2].split()[1]) == pytest.approx(median, rel=0.01)
    tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=5)
    assert tab.evaluate("document.querySelector('.tip.on')") is None


def test_a_curve_is_switched_off_by_its_name_and_on_by_its_sample_in_a_table(tab: Tab, quick: Path):
    tab.show(quick, 1440)

    def visible() -> bool:
        return (
            tab.evaluate(
                "getComputedStyle(document.querySelector('figure .curve[data-line=adam] path'))."
                "visibility"
            )
            == "visible"
        )

    assert visible()
    tab.evaluate(
        "document.querySelector('figure .label[data-line=adam]').dispatchEvent(new Event('click'))"
    )
    assert not visible()
    sample = "document.querySelector('tbody .key[data-line=adam]')"
    assert tab.evaluate(f"{sample}.getAttribute('aria-pressed')") == "false"
    tab.evaluate(f"{sample}.click()")
    assert visible()


@pytest.mark.parametrize("size", PAPER.values(), ids=PAPER.keys())
def test_a_print_has_every_column_and_everything_that_is_folded(
    tab: Tab, page: Path, quick: Path, size: tuple[float, float]
):
    width = int(96 * (size[0] - 2 * MARGIN))
    for report in (page, quick):
        tab.show(report, width, scheme="dark")
        tab.call("Emulation.setEmulatedMedia", media="print")
        try:
            rights, hidden, paper = tab.evaluate(
                "[[...document.querySelectorAll('td:last-child, figure svg')].map(part => part."
                "getBoundingClientRect().right), [...document.querySelectorAll('details:not(."
                "screen) table')].filter(table => !table.checkVisibility()).length,"
                "getComputedStyle(document.body).backgroundColor]"
            )
            assert len(rights) > 10
            assert max(rights) <= width
            assert hidden == 0
            assert paper == "rgb(255, 255, 255)"
            heads = tab.evaluate(
                "[...document.querySelectorAll('h2, h3')].map(h => getComputedStyle(h).breakAfter)"
            )
            assert set(heads) == {"avoid"}
        finally:
            tab.call("Emulation.setEmulatedMedia", media="")
        printed = tab.call("Page.printToPDF", paperWidth=size[0], paperHeight=size[1])
        pages = re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"]))
        assert 2 < len(pages) < 30


def test_a_table_that_is_wider_than_a_phone_has_a_shadow_at_the_edge_until_it_is_scrolled(
    tab: Tab, quick: Path
):
    from matplotlib.image import imread

    tab.show(quick, 390)
    scroll = "document.querySelector('.scroll')"
    assert tab.evaluate(f"{scroll}.scrollWidth > {scroll}.clientWidth")
    tab.evaluate(f"{scroll}.scrollIntoView({{behavior: 'instant', block: 'center'}})")

    def edge() -> float:
        """Lightness at the right edge of the table, in the middle between dark and light rows."""
        top, right, bottom = tab.evaluate(
            f"(() => {{const r = {scroll}.getBoundingClientRect();"
            "return [r.top, r.right, r.bottom]})()"
        )
        image = imread(io.BytesIO(tab.screenshot(whole=False)))
        return float(np.median(image[int(top) : int(bottom), int(right) - 2, :3]))

    assert edge() < 0.9
    tab.evaluate(f"{scroll}.scrollLeft = 10000")
    assert edge() > 0.95


def test_without_javascript_the_page_is_complete(tab: Tab, quick: Path):
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.show(quick, 1440)
        assert tab.evaluate("document.querySelectorAll('[role=button], .hint').length") == 0
        text = tab.evaluate("document.body.innerText")
        heights = tab.evaluate(
            "[...document.querySelectorAll('section > .scroll, figure')].map(part => part."
            "getBoundingClientRect().height)"
        )
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "nadam ends lowest" in text
    assert min(heights) > 50
