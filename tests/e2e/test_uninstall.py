"""docs/uninstall.md, to the letter: nothing is left. And docs/install.md afterwards: it is all back."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.cluster import Cluster, install, sayer

from .support import TEAM, Kube, Proxy, agent, eventually, make_main

ROOT = Path(__file__).resolve().parents[2]
_OURS = ("-l", "app.kubernetes.io/managed-by=litclaw")


def _commands(page: str) -> list[list[str]]:
    """What a page's code blocks tell to type, before its part for when something is wrong."""
    text = (ROOT / "docs" / page).read_text().partition("## When it hangs")[0]
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line.split() for block in blocks for line in block.splitlines()]


@pytest.fixture
def back_again(cluster: Cluster, kube: Kube, proxy: Proxy) -> Iterator[None]:
    """The operator and the route ``main`` as they were for the tests that come after."""
    yield
    install(cluster, sayer())
    proxy.close()
    proxy.master_key = make_main(kube)


def _all_kinds(kube: Kube) -> str:
    """Every kind that can be listed."""
    kinds = kube.run("api-resources", "--verbs=list,delete", "-o", "name").stdout.split()
    return ",".join(kind for kind in kinds if not kind.startswith("events"))


def _left(kube: Kube) -> list[str]:
    """What of ours there is, of any kind in any place."""
    kinds = _all_kinds(kube)
    found = [
        f"{body['kind']} {body['metadata'].get('namespace', '')}/{body['metadata']['name']}"
        for selector in (_OURS, ("-l", "app.kubernetes.io/name=litclaw"))
        for body in kube.list(kinds, *selector)
    ]
    crds = kube.run("get", "crds", "-o", "name").stdout.split()
    volumes = kube.list("persistentvolumes")
    claims = [body["spec"]["claimRef"] for body in volumes if body["status"].get("phase") != "Released"]
    found += [crd for crd in crds if "litclaw" in crd]
    found += [f"volume of {claim['namespace']}/{claim['name']}" for claim in claims]
    return found


def test_nothing_is_left(kube: Kube, proxy: Proxy, back_again: None) -> None:
    kube.apply(agent("leaver"), agent("leaver-too", gateway={"storage": "1Gi"}))
    for name in ("leaver", "leaver-too"):
        kube.wait_condition("openclawagent", TEAM, name, "KeyReady", "True")
    eventually(lambda: kube.get("deployment", TEAM, "leaver-too-openclaw"))
    assert len(_left(kube)) > 20
    commands = _commands("uninstall.md")
    assert [command[:3] for command in commands[:2]] == [
        ["kubectl", "delete", "openclawagents"],
        ["kubectl", "delete", "litellmroutes"],
    ]
    for program, *arguments in commands:
        assert program == "kubectl"
        here = [str(ROOT / word) if word.startswith("deploy/") else word for word in arguments]
        printed = kube.run(*here, timeout=300).stdout
        if arguments[0] == "delete" and arguments[1] == "openclawagents":
            assert proxy.rows() == [], "keys end with their agents"
        if arguments[0] == "get":
            eventually(lambda here=here: kube.run(*here).stdout == "", timeout=120, what=printed)
    eventually(lambda: _left(kube) == [], timeout=90, what="nothing is left")
