"""When a master key is not rotated."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from litclaw.api.route import LiteLLMRoute
from litclaw.kube.cache import Cache
from litclaw.kube.client import Kube
from litclaw.reconcile.campaign import Campaign
from litclaw.reconcile.master_key import renew
from litclaw.reconcile.world import World

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
    world = World(
        kube=nothing, cache=Cache(), cluster="c", wake=lambda key: None, wake_after=lambda key, s: None, now=clock
    )
    campaign = Campaign(
        ("LiteLLMKeyRotation", "", "all"),
        not_before=clock(),
        grace=0,
        limit=1,
        stop=0,
        wake=lambda key: None,
        now=Clock(),
    )
    campaign.plan({"u": ("LiteLLMRoute", "ai", "main")}, {}, resting=False)
    world.campaigns["c"] = campaign
    assert route.spec.managed
    await renew(world, route, route.spec.managed, deployment)
    [(_, why)] = campaign.failures.values()
    assert why.startswith(reason)
