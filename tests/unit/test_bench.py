"""The benchmark's arithmetic and its page. Whether it runs is shown by a run on a cluster."""

import json
import os
from typing import Any

import pytest

from dev.bench import proc, report
from dev.bench.figures import Figure, at_least, at_most, at_most_times, figures_of, headings, quantile, rows
from dev.bench.plan import SECTIONS, Plan
from dev.bench.writes import written


def _result(commit: str, *figures: Figure) -> dict[str, Any]:
    machine = {"cpu": "x", "cores": 2, "memory_gib": 23.5, "kernel": "6.18", "load_before": 0.5}
    plain = [each.plain() for each in figures]
    return {"date": "2026-11-30T10:00:00", "commit": commit, "machine": machine, "figures": plain, "whole": True}


def test_a_rate_is_judged_by_its_share_of_the_value_beside_it() -> None:
    assert at_least("s", "n", 45.0, "/s", 50.0, 0.9).met is True
    assert at_least("s", "n", 44.9, "/s", 50.0, 0.9).met is False
    assert at_least("s", "n", 10.0, "/s", 50.0).row() == ("s", "n", "10 /s", "50 /s", "0.200", "", "")


def test_an_amount_is_judged_by_its_upper_limit() -> None:
    assert at_most("s", "n", 0, "", 0).row() == ("s", "n", "0", "", "", "≤ 0", "met")
    assert at_most("s", "n", 1234.5, "MB", 300).row() == ("s", "n", "1,234 MB", "", "", "≤ 300 MB", "not met")
    assert at_most("s", "n", 0.1234, "s").row() == ("s", "n", "0.12 s", "", "", "", "")
    assert at_most("s", "n", 0.5, "s", 1, 0.25).row() == ("s", "n", "0.50 s", "0.25 s", "2.000", "≤ 1 s", "met")


def test_a_cost_is_judged_by_its_multiple_of_the_cost_beside_it() -> None:
    assert at_most_times("s", "n", 6, "ms", 8, 0.75).met is True
    assert at_most_times("s", "n", 6.1, "ms", 8, 0.75).met is False
    assert at_most_times("s", "n", 7.5, "ms", 10, 0.75).row()[3:] == ("10 ms", "0.750", "ratio ≤ 0.75", "met")
    assert at_most_times("s", "n", 7.5, "ms", 10).row()[3:] == ("10 ms", "0.750", "", "")


def test_cpu_and_memory_of_a_process_are_in_seconds_and_megabytes() -> None:
    before = proc.use(os.getpid())
    sum(number * number for number in range(1_000_000))
    after = proc.use(os.getpid())
    assert after["cpu"] > before["cpu"]
    assert 20 < after["rss"] <= after["peak"] < 4000


def test_figures_are_the_same_after_a_round_trip_through_json() -> None:
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


def test_an_earlier_run_has_a_column_with_empty_cells_for_what_it_lacks() -> None:
    earlier = [at_least("s", "n", 4.0, "/s", 8.0, 0.5), at_most("s", "gone", 1, "")]
    now = [at_least("s", "n", 6.0, "/s", 8.0, 0.5), at_most("s", "new", 3, "MB"), at_most("t", "n", 5, "")]
    assert headings(has_before=True)[:4] == ["Section", "Figure", "Before", "Measured"]
    assert [line[:4] for line in rows(now, earlier)] == [
        ["s", "n", "4 /s (0.500)", "6 /s"],
        ["s", "new", "", "3 MB"],
        ["t", "n", "", "5"],
    ]
    assert [line[:3] for line in rows(now)] == [["s", "n", "6 /s"], ["s", "new", "3 MB"], ["t", "n", "5"]]


def test_a_report_beside_an_earlier_run_names_both_and_is_made_again_from_its_json() -> None:
    earlier = _result("aaaaaaa", at_most("s", "n", 7.5, "ms"))
    result = report.beside_earlier(_result("bbbbbbb", at_most("s", "n", 5, "ms"), at_most("s", "new", 0, "")), earlier)
    where = "2 cores (x), 23.5 GiB, Linux 6.18, load 0.5 before"
    assert report.markdown(result) == (
        f"2026-11-30, commit bbbbbbb, {where}. Before: 2026-11-30, commit aaaaaaa, {where}.\n\n"
        "| Section | Figure | Before | Measured | Beside it | Ratio | Goal | Met |\n"
        "|---|---|---|---|---|---|---|---|\n"
        "| s | n | 7.50 ms | 5 ms |  |  |  |  |\n"
        "|  | new |  | 0 |  |  |  |  |"
    )
    assert report.markdown(json.loads(json.dumps(result))) == report.markdown(result)
    assert "whole" not in result["before"]
    assert report.beside_earlier(earlier, None) == earlier


def test_a_run_is_whole_with_every_section_in_its_size() -> None:
    assert Plan(frozenset(SECTIONS), changes=50, idle=60).is_whole
    assert not Plan(frozenset(SECTIONS), bare=200).is_whole
    assert not Plan(frozenset({"cli"})).is_whole
    assert not Plan(frozenset({"cli"})).needs_cluster and Plan(frozenset({"cli", "idle"})).needs_cluster


def test_the_page_has_the_table_of_the_kept_result() -> None:
    text = report.PAGE.read_text()
    assert report.page(text, json.loads(report.DATA.read_text())) == text, "run `python -m dev.bench report`"


def test_the_page_names_every_section() -> None:
    text = report.PAGE.read_text()
    assert all(f"| `{name}` |" in text for name in SECTIONS)
