"""What a sweep does at its end."""

from synthetic_sweeps import write_sweep

from stepsize.sweeps.lifecycle import _report


def test_a_package_that_cannot_be_imported_does_not_cost_the_report(tmp_path, capsys):
    write_sweep(tmp_path, {"optimizer": ["sgd", "adam"], "seed": [0, 1]})
    report = _report(tmp_path, ["no_such_package"])
    assert report is not None
    assert report.page.is_file()
    assert "no_such_package" in capsys.readouterr().err


def test_a_sweep_without_runs_has_no_report_and_the_reason_is_printed(tmp_path, capsys):
    assert _report(tmp_path, []) is None
    assert str(tmp_path) in capsys.readouterr().err
