"""Every step of docs/tour.md runs, and prints what the page says it prints."""

import re
import shlex
import subprocess
import sys

import pytest
from command_line import ROOT, run_command

TOUR = ROOT / "docs" / "tour.md"
SECTIONS = re.findall(
    r"^## \d+\. (.+?)\n(.*?)(?=^## |\Z)", TOUR.read_text("utf-8"), re.DOTALL | re.MULTILINE
)
BLOCKS = re.compile(r"^```bash\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
STEPS = [(title, *block) for title, section in SECTIONS for block in BLOCKS.findall(section)]
SLOW = "hydra/launcher=vectorized"  # tests/all/test_tour_question.py


def run_step(commands, folder):
    """The standard output of the commands, in one folder."""
    out = ""
    for command in commands.splitlines():
        words = [str(ROOT / w) if w == "examples/conf" else w for w in shlex.split(command)]
        assert words.pop(0) == "python"
        if words[0] == "-c":
            done = subprocess.run(
                [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
            )
        elif words[0] == "-m":
            done = run_command(*words, cwd=folder, script=None)
        else:
            done = run_command(*words[1:], cwd=folder, script=ROOT / words[0])
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        out += done.stdout
    return out


def pieces(expected):
    """The parts of a page's output between the lines '...', each a list of lines."""
    parts = re.split(r"^\.\.\.$", expected, flags=re.MULTILINE)
    return [lines for part in parts if (lines := [*filter(str.strip, part.splitlines())])]


def as_words(line):
    """A line with '#' for each number, whose last digits differ between processors."""
    return re.sub(r"-?\d[\d.,]*(?:e[+-]?\d+)?", "#", " ".join(line.split()))


def assert_printed(expected, out):
    printed = [as_words(line) for line in out.splitlines() if line.strip()]
    for lines in pieces(expected):
        wanted = [as_words(line) for line in lines]
        found = any(
            printed[i : i + len(wanted)] == wanted for i in range(len(printed) - len(wanted) + 1)
        )
        assert found, f"not printed:\n{chr(10).join(lines)}\nbut:\n{out}"


@pytest.mark.parametrize(
    ("commands", "expected"),
    [pytest.param(*step, id=title) for title, *step in STEPS if SLOW not in step[0]],
)
def test_a_step_prints_what_the_page_shows(commands, expected, tmp_path):
    assert_printed(expected, run_step(commands, tmp_path))


def test_the_page_has_a_command_in_every_section():
    assert [title for title, section in SECTIONS if not BLOCKS.search(section)] == []
    assert len(SECTIONS) == 8
