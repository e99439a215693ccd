"""Every command in docs/*.md works, and every link of the Markdown files leads somewhere."""

import re

import pytest
from command_line import ROOT
from documents import ELSEWHERE, check_commands, commands

PAGES = sorted((ROOT / "docs").glob("*.md"))
OWN_TEST = {"tour.md"}  # tests/runs/test_tour.py runs its steps in full
WITH_COMMANDS = [page for page in PAGES if commands(page) and page.name not in OWN_TEST]
MARKDOWN = [*ROOT.glob("*.md"), *PAGES, ROOT / "outputs" / "README.md"]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.stem)
def test_every_command_of_the_page_works(page, tmp_path):
    check_commands(page, tmp_path)


def test_commands_that_are_run_elsewhere_name_a_test_that_exists_and_a_page_that_has_them():
    known = [command for page in MARKDOWN for command in commands(page)]
    for start, test in ELSEWHERE.items():
        assert (ROOT / test).is_file(), test
        assert any(command.startswith(start) for command in known), start


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []
