"""The benchmark's arithmetic and its page; that it runs is for a cluster to show."""

import json
import os

import pytest

from dev.bench import proc, report
from dev.bench.figures import Figure, at_least, at_most, figures_of
from dev.bench.plan import SECTIONS
from dev.bench.sections import quantile
from dev.bench.writes import written


def test_a_rate_is_judged_by_what_is_possible() -> None:
    assert at_least("s", "n", 45.0, "/s", 50.0, 0.9).met is True
    assert at_least("s", "n", 44.9, "/s", 50.0, 0.9).met is False
    assert at_least("s", "n", 10.0, "/s", 50.0).row() == ("s", "n", "10 /s", "50 /s", "0.200", "", "")


def test_an_amount_is_judged_by_the_most_that_it_may_be() -> None:
    assert at_most("s", "n", 0, "", 0).row() == ("s", "n", "0", "", "", "≤ 0", "met")
    assert at_most("s", "n", 1234.5, "MB", 300).row() == ("s", "n", "1,234 MB", "", "", "≤ 300 MB", "not met")
    assert at_most("s", "n", 0.1234, "s").row() == ("s", "n", "0.12 s", "", "", "", "")


def test_what_a_process_uses_is_in_seconds_and_megabytes() -> None:
    before = proc.use(os.getpid())
    sum(number * number for number in range(1_000_000))
    after = proc.use(os.getpid())
    assert after["cpu"] > before["cpu"]
    assert 20 < after["rss"] <= after["peak"] < 4000


def test_what_is_kept_is_what_was_measured() -> None:
    figures = [at_least("s", "n", 1.5, "/s", 2.0, 0.5), Figure("s", "m", 3, "")]
    assert figures_of(json.loads(json.dumps([each.plain() for each in figures]))) == figures


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100)])
def test_a_quantile_is_one_of_the_values(share: float, expected: float) -> None:
    assert quantile([float(each) for each in range(1, 101)], share) == expected
    assert quantile([7.0], share) == 7.0


def test_writes_are_counted_by_verb_and_resource() -> None:
    text = "\n".join(
        f'apiserver_request_total{{code="{code}",resource="{resource}",subresource="{sub}",verb="{verb}"}} {count}'
        for code, resource, sub, verb, count in (
            ("200", "openclawagents", "status", "APPLY", 3),
            ("409", "openclawagents", "status", "APPLY", 1),
            ("201", "secrets", "", "APPLY", 2),
            ("200", "secrets", "", "GET", 9),
            ("200", "leases", "", "PUT", 9),
            ("200", "deployments", "status", "PUT", 9),
        )
    )
    assert written(text) == {("APPLY", "openclawagents/status"): 4, ("APPLY", "secrets"): 2}


def test_the_page_has_the_table_of_the_kept_result() -> None:
    text = report.PAGE.read_text()
    assert report.page(text, json.loads(report.DATA.read_text())) == text, "run `python -m dev.bench report`"


def test_the_page_names_every_section() -> None:
    text = report.PAGE.read_text()
    assert all(f"| `{name}` |" in text for name in SECTIONS)
