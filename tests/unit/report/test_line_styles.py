from __future__ import annotations

from conftest import names

from stepsize.report.labels import Setting
from stepsize.report.line_styles import looks


def setting(optimizer: str, rest: str = "") -> Setting:
    method = f"{optimizer} {rest}".strip()
    return Setting(method, method, (), optimizer)


def test_every_optimizer_of_the_template_has_a_look_of_its_own():
    found = looks([setting(name) for name in names("optimizer")])
    assert len({(look.colour, look.dashes) for look in found.values()}) == len(found)


def test_an_optimizer_has_one_look_whoever_it_is_compared_with():
    every = looks([setting(name) for name in names("optimizer")])
    for name in names("optimizer"):
        other = "sgd" if name != "sgd" else "adam"
        assert looks([setting(name), setting(other)])[name] == every[name]


def test_a_schedule_keeps_the_colour_of_its_optimizer_and_has_dashes_of_its_own():
    found = looks([setting("adam"), setting("adam", "cosine"), setting("sgd")])
    assert found["adam cosine"].colour == found["adam"].colour
    assert found["adam cosine"].dashes != found["adam"].dashes


def test_methods_of_one_optimizer_differ_in_colour():
    methods = ["no schedule", "cosine", "onecycle", "step", "linear"]
    found = looks([Setting(method, method, (), "adam") for method in methods])
    assert len({(look.colour, look.dashes) for look in found.values()}) == 5


def test_twenty_one_unknown_optimizers_can_be_told_apart():
    found = looks([setting(f"mine{number}") for number in range(21)])
    assert len({(look.colour, look.dashes) for look in found.values()}) == 21
