"""A megabyte of somebody else's text takes a moment, and not the event loop's time for minutes.

Each of these took time with the square of its length, or with the number of values. The bound is far from either.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest
from litclaw.api.agent import OpenClawAgent
from litclaw.api.quantity import parse_quantity
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.diff import covers
from litclaw.litellm import transport
from litclaw.reconcile.core.crash_log import harmless_lines
from litclaw.reconcile.route.connect import certificates_in
from pydantic import ValidationError

SECONDS = 5.0
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@pytest.mark.parametrize(
    "work",
    [
        lambda: parse_quantity("1" * 1_000_000 + "x"),
        lambda: covers({"env": [{"value": "1" * 1_000_000 + "x"}]}, {"env": [{"value": "4000"}]}),
        lambda: list(certificates_in(BEGIN * 40_000)),
        lambda: list(certificates_in(f"{BEGIN}YQ=={END}" * 20_000)),
        lambda: harmless_lines("a" * 64_000, ()),
        lambda: harmless_lines("secret" * 10_000, ()),
        lambda: harmless_lines("\n".join(["token" * 400] * 30), ()),
        lambda: harmless_lines("a" * 64_000, [" ".join(f"{number:06x}" for number in range(9_000))]),
        lambda: harmless_lines("a" * 64_000, ["a\n" * 32_000, "a " * 32_000, "[" * 64_000]),
        lambda: harmless_lines("a" * 64_000, [" ".join("a" * number for number in range(360))]),
        lambda: transport._elements(b'"' + b'\\"' * 1_000_000 + b"," * 600_000),
        lambda: transport._elements(b'"' * 1_000_001 + b"," * 600_000),
    ],
)
def test_it_takes_a_moment(work: Callable[[], Any]) -> None:
    began = time.process_time()
    work()
    assert time.process_time() - began < SECONDS


def test_certificates_are_found_among_other_things() -> None:
    first, second = f"{BEGIN}\nYQ==\n{END}", f"{BEGIN}\nYg==\n{END}"
    key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
    assert list(certificates_in(f"{END} x {first}\n{key}\n{second} {BEGIN} cut off")) == [first, second]
    assert list(certificates_in("")) == []


@pytest.mark.parametrize("between", ["-----BEGIN PRIVATE KEY-----\nYg==\n-----END PRIVATE KEY-----\n", "", "\n-\n"])
def test_what_follows_a_certificate_that_is_cut_off_is_not_taken_for_a_part_of_it(between: str) -> None:
    """It would be in the ConfigMap of every agent."""
    with pytest.raises(ValueError, match="base64"):
        list(certificates_in(f"{BEGIN}\nYQ==\n{between}{BEGIN}\nYg==\n{END}"))


def test_a_resource_with_more_values_than_rendering_takes_is_refused_and_said_so() -> None:
    meta = {"name": "x", "namespace": "y"}
    many = {"list": [[]] * 20_000}
    for extra in (many, {"a": {str(number): 1 for number in range(20_001)}}):
        with pytest.raises(ValidationError, match="more than 20000 values"):
            OpenClawAgent.model_validate(
                {"metadata": meta, "spec": {"routeRef": {"name": "main"}, "config": {"extra": extra}}}
            )
    models = [{"name": f"m-{number}", "litellmParams": {"model": "x", "list": [1] * 1_000}} for number in range(30)]
    for spec, why in (({"models": models}, "20000 values"), ({"routerSettings": {"a": "x" * 300_000}}, "characters")):
        managed = {"managed": {"database": {"embedded": {}}}, **spec}
        with pytest.raises(ValidationError, match=why):
            LiteLLMRoute.model_validate({"metadata": meta, "spec": managed})


def test_an_agent_may_have_files_of_a_megabyte() -> None:
    files = {"AGENTS.md": "x" * 1_000_000}
    spec = {"routeRef": {"name": "main"}, "config": {"files": files}}
    assert OpenClawAgent.model_validate({"metadata": {"name": "x", "namespace": "y"}, "spec": spec})
