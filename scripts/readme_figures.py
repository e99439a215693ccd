"""Makes README's figures from real sweeps: the report's page, TensorBoard, learning rates.

python scripts/readme_figures.py                # trains sweep=quick and sweep=learning_rate first
python scripts/readme_figures.py outputs/sweeps # takes these two sweeps from a folder of sweeps

It writes docs/report.png, docs/tensorboard.png and docs/learning_rate.png. It needs Chromium, as
the tests of the page do.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image  # comes with matplotlib

ROOT = Path(__file__).parents[1]
SCREEN = {"width": 1440, "height": 900}
SWEEPS = ("quick", "learning_rate")
_LOADING = 60.0  # seconds until TensorBoard has drawn its charts
_CHARTS = "document.querySelectorAll('line-chart, line-chart-component').length"


def main() -> None:
    """Train if there are no sweeps yet, and write the figures."""
    sys.path.append(str(ROOT / "tests"))
    from headless_chromium import open_tab  # type: ignore[import-not-found] # in tests/

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweeps", nargs="?", type=Path, help="folder with both sweeps")
    given = parser.parse_args().sweeps
    with tempfile.TemporaryDirectory() as folder, open_tab() as tab:
        quick, learning_rate = (
            (given.resolve() if given else train(Path(folder))) / sweep for sweep in SWEEPS
        )
        tab.show(quick / "report" / "report.html", **SCREEN)
        save(tab.screenshot(whole=False), "report.png")
        save(tensorboard(quick, tab), "tensorboard.png")
        save(
            (learning_rate / "report" / "learning-rate-curve.png").read_bytes(), "learning_rate.png"
        )


def train(folder: Path) -> Path:
    """Train both sweeps below ``folder``, and return the folder of sweeps."""
    for sweep in SWEEPS:
        command = [sys.executable, str(ROOT / "train.py"), f"sweep={sweep}", f"name={sweep}"]
        subprocess.run(command, cwd=folder, check=True)
    return folder / "outputs" / "sweeps"


def tensorboard(sweep: Path, tab) -> bytes:  # type: ignore[no-untyped-def] # a Tab, of tests/
    """TensorBoard's first screen on a sweep's report, unsmoothed, once its charts are drawn."""
    from tensorboard_server import served  # type: ignore[import-not-found] # in tests/

    with served(sweep / "report", lambda server: bool(server.get("scalars/tags"))) as server:
        tab.show(f"{server.address}/?smoothing=0#timeseries", **SCREEN)
        deadline = time.monotonic() + _LOADING
        while not tab.evaluate(_CHARTS):
            if time.monotonic() > deadline:
                raise RuntimeError(f"TensorBoard draws no chart within {_LOADING:.0f} s")
            time.sleep(0.5)
        time.sleep(3)  # lines appear after their chart
        return tab.screenshot(whole=False)


def save(png: bytes, name: str) -> None:
    """Write an image with 256 colours, which is a third of the size."""
    file = ROOT / "docs" / name
    image = Image.open(io.BytesIO(png)).convert("RGB").quantize(256)
    image.save(file, optimize=True)
    print(f"docs/{name}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
