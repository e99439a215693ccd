"""``python -m stepsize``: the list of commands, their help and their errors."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stepsize.__main__ import COMMANDS, main


def test_without_a_command_it_lists_each_with_an_example(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main([])
    listed = capsys.readouterr().out
    assert {"compare", "plot", "schedule"} <= set(COMMANDS)
    for name in COMMANDS:
        assert f"\n  {name} " in listed
        assert f"python -m stepsize {name} " in listed


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: python -m stepsize {name}" in capsys.readouterr().out


def test_an_unknown_command_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["comparison"])
    assert "comparison" in str(ended.value)
    assert all(name in str(ended.value) for name in COMMANDS)


def test_help_imports_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys; from stepsize.__main__ import overview; overview(); "
        "print({'torch', 'matplotlib', 'hydra'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_failing_command_shows_its_traceback_only_with_hydra_full_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SystemExit, match="nowhere"):
        main(["plot", "nowhere"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="nowhere"):
        main(["plot", "nowhere"])
