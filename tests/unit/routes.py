"""Routes for the tests of the renderers."""

from typing import Any

from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute

MODEL = {"name": "m", "litellmParams": {"model": "openai/m"}}


def managed_route(managed: dict[str, Any] | None = None, **spec: Any) -> tuple[LiteLLMRoute, Managed]:
    """A managed route ``ai/main``, and its ``spec.managed``."""
    body = {
        "metadata": {"name": "main", "namespace": "ai", "uid": "u-1"},
        "spec": {"managed": {"database": {"embedded": {}}, **(managed or {})}, "models": [MODEL], **spec},
    }
    route = LiteLLMRoute.model_validate(body)
    assert route.spec.managed
    return route, route.spec.managed
