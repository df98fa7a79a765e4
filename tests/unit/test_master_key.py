"""When a master key is not rotated."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.cache import Cache
from litclaw.kube.client import Kube
from litclaw.reconcile.context import Context
from litclaw.reconcile.rotation.run import RotationRun
from litclaw.reconcile.route.master_key import renew

from .proxies import Clock

NEVER_SALTED = {"metadata": {"name": "main-litellm", "annotations": {"litclaw.dev/digest": "x"}}}


@pytest.mark.parametrize(
    ("managed", "deployment", "reason"),
    [
        ({}, NEVER_SALTED, "NoSalt: the proxy has never had a salt"),
        ({"masterKeySecretRef": {"name": "own", "key": "KEY"}}, None, "NotOurs: Secret own"),
    ],
)
async def test_it_is_refused_with_the_reason(
    managed: dict[str, Any], deployment: dict[str, Any] | None, reason: str
) -> None:
    spec = {"managed": {"database": {"embedded": {}}, **managed}}
    route = LiteLLMRoute.model_validate({"metadata": {"name": "main", "namespace": "ai", "uid": "u"}, "spec": spec})
    clock = Clock()
    nothing = cast(Kube, SimpleNamespace())  # it fails where anything is asked of it
    context = Context(
        kube=nothing, cache=Cache(), cluster="c", wake=lambda key: None, enqueue_after=lambda key, s: None, now=clock
    )
    run = RotationRun(
        ("LiteLLMKeyRotation", "", "all"),
        not_before=clock(),
        grace=0,
        limit=1,
        stop=0,
        wake=lambda key: None,
        now=Clock(),
    )
    run.plan({"u": ("LiteLLMRoute", "ai", "main")}, {}, resting=False)
    context.runs["c"] = run
    assert route.spec.managed
    await renew(context, route, route.spec.managed, deployment)
    [(_, why)] = run.failures.values()
    assert why.startswith(reason)
