"""OpenClaw replaces ``${NAME}`` in the strings of openclaw.json. Nothing that a route or a proxy contains is replaced."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litclaw.api.agent import OpenClawAgent
from litclaw.api.base import is_model_name
from litclaw.api.models import OpenClawModel
from litclaw.api.route import LiteLLMRoute
from litclaw.render.openclaw.config import ModelFacts, openclaw_config
from litclaw.render.openclaw.substitution import Reference, literal
from pydantic import ValidationError

from .scenes import route_body

OURS = {"LITELLM_API_KEY", "OPENCLAW_GATEWAY_TOKEN"}
"""The variables that the operator itself refers to."""
_NAME = re.compile("[A-Z_][A-Z0-9_]*")


class Environment:
    """Where OpenClaw takes variables from: every one exists.

    Attributes:
        read: the variables that were read.
    """

    def __init__(self) -> None:
        self.read: set[str] = set()

    def substituted(self, text: str) -> str:
        """A string of openclaw.json as OpenClaw reads it, by the rule of its ``env-substitution.ts``."""
        out, at = "", 0
        while at < len(text):
            for opening in ("$${", "${"):
                end = text.find("}", at)
                if text.startswith(opening, at) and _NAME.fullmatch(name := text[at + len(opening) : end]) and end >= 0:
                    out += f"${{{name}}}" if opening == "$${" else self._value(name)
                    at = end + 1
                    break
            else:
                out += text[at]
                at += 1
        return out

    def _value(self, name: str) -> str:
        self.read.add(name)
        return f"secret of {name}"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for below in value.values():
            yield from _strings(below)
    elif isinstance(value, list):
        for below in value:
            yield from _strings(below)
    elif isinstance(value, str):
        yield value


PIECES = ["${SLACK_BOT_TOKEN}", "${", "$", "$$", "{", "}", "A", "_X9", "a", ":", "pass:x", " ", "/", "ä"]
hostile = st.lists(st.sampled_from(PIECES), max_size=12)
texts = st.one_of(hostile.map("".join), st.text(max_size=20)).filter(bool)
references = st.lists(st.sampled_from(["${SLACK_BOT_TOKEN}", "$", "$$", "x", "}"]), max_size=8).map("".join)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a${B}c", "asecret of Bc"),
        ("$${B}", "${B}"),
        ("$$${B}", "$${B}"),
        ("${b}${", "${b}${"),
        ("${A${B}", "${Asecret of B"),
    ],
)
def test_the_rule_of_openclaw(text: str, read: str) -> None:
    assert Environment().substituted(text) == read


@settings(deadline=None)  # a busy machine is no failure
@given(name=texts, shown=texts, url=texts, authorities=st.one_of(st.just(""), texts), gateway=st.booleans())
def test_nothing_of_a_route_or_a_proxy_is_replaced(
    name: str, shown: str, url: str, authorities: str, gateway: bool
) -> None:
    spec = {"routeRef": {"name": "main"}, "config": {"extra": {"env": {"vars": {"MINE": "${THE_OWNERS_OWN}"}}}}}
    agent = OpenClawAgent.model_validate(
        {"metadata": {"name": "a"}, "spec": {**spec, **({"gateway": {}} if gateway else {})}}
    )
    unchecked = agent.spec.model_copy(update={"default_model": name, "fallback_models": [name]})
    facts = ModelFacts(name, shown, reasoning=False, input=("text",), context_window=None, max_tokens=None)
    found = openclaw_config(
        agent.model_copy(update={"spec": unchecked}),
        base_url=url,
        allow_private_network=True,
        models=[facts],
        authorities=authorities,
    )
    environment = Environment()
    for text in _strings(json.loads(found.text)):
        environment.substituted(text)
    assert environment.read <= {*OURS, "THE_OWNERS_OWN"}


@settings(deadline=None)  # a busy machine is no failure
@given(references)
def test_what_looks_like_a_reference_arrives_as_it_is(text: str) -> None:
    environment = Environment()
    assert environment.substituted(literal(text)) == text and environment.read == set()


@settings(deadline=None)  # a busy machine is no failure
@given(texts)
def test_no_model_name_has_to_be_escaped(text: str) -> None:
    assert not is_model_name(text) or literal(text) == text


def test_a_reference_of_the_operators_own_is_replaced() -> None:
    config = literal({"a": [Reference.to("KEY")], "b": "${KEY}", "c": 1})
    assert config == {"a": ["${KEY}"], "b": "$${KEY}", "c": 1}


@pytest.mark.parametrize(
    "given",
    [
        {"url": "http://evil.evil.svc:4000/x/${SLACK_BOT_TOKEN}"},
        {"models": [{"name": "${GITHUB_TOKEN}"}]},
        {"models": [{"name": "m", "openclaw": {"displayName": "a ${GITHUB_TOKEN}"}}]},
    ],
)
def test_a_route_with_a_reference_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="refers to environment variables"):
        LiteLLMRoute.model_validate(route_body(**given))


@pytest.mark.parametrize("name", ["", " a", "a  b", "a" * 129, "ä", "a\n", "${A}", "a${", "a\x1b[31m"])
def test_what_is_no_model_name(name: str) -> None:
    assert not is_model_name(name)


@pytest.mark.parametrize("name", ["gpt-4o", "a b", "anthropic/*", "$", "a$b{c}", "x" * 128])
def test_what_is_a_model_name(name: str) -> None:
    assert is_model_name(name)
    assert LiteLLMRoute.model_validate(route_body(models=[{"name": name}])).spec.models[0].openclaw == OpenClawModel()
