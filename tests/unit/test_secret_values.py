"""Values of Secrets that a resource names: what is said when one isn't there."""

import pytest
from litclaw.api.base import SecretKeyRef
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.core.secret_values import value
from litclaw.render.metadata import encode

from .scenes import FakeKube, context_of


async def test_a_missing_key_is_reported_with_a_bounded_list_of_the_others() -> None:
    meta = {"namespace": "n", "name": "s", "uid": "s", "resourceVersion": "1"}
    names = [f"{number:03}-{'x' * 100}" for number in range(500)]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encode(dict.fromkeys(names, "v"))}
    with pytest.raises(Blocked, match="SecretKeyNotFound") as refused:
        await value(context_of(FakeKube(secret)), "n", SecretKeyRef(name="s", key="k"), "spec.f")
    assert names[0] in refused.value.message and refused.value.message.endswith("and 480 more.")
    assert len(refused.value.message) < 3000
