"""The route that most tests use."""

from .api import Object
from .kube import Kube
from .pods import POD_SETTINGS, python_server, what_pods_need
from .resources import AI, MODELS, TEAM, managed_route, namespace, secret
from .waiting import LONG_SECONDS

IMAGE_MODEL: Object = {
    "name": "gpt-image-2",
    "litellmParams": {"model": "openai/gpt-image-2", "api_base": "http://painter.ai.svc.cluster.local:8080/v1"},
    "apiKeySecretRef": {"name": "painter-key", "key": "KEY"},
    "modelInfo": {"mode": "image_generation"},
}
"""A model that makes images, with a real call of the proxy to a provider in the cluster (servers/painter.py)."""
UNSTEADY_MODEL: Object = {
    "name": "unsteady",
    "litellmParams": {"model": "openai/gpt-4o", "api_base": "http://127.0.0.1:9/v1"},
    "apiKeySecretRef": {"name": "painter-key", "key": "KEY"},
    "secretParams": {"organization": {"name": "painter-key", "key": "ORGANIZATION"}},
}
"""A model whose provider never answers, so its fallback answers."""


def main_route() -> Object:
    """The route that most tests use: chat, images, a fallback, settings of each kind, limits for all."""
    return managed_route(
        "main",
        managed={"database": {"embedded": {"storage": "1Gi"}}, **POD_SETTINGS},
        models=[*MODELS, IMAGE_MODEL, UNSTEADY_MODEL],
        fallbacks=[{"model": "unsteady", "to": ["gpt-4o"]}],
        routerSettings={"num_retries": 0},
        litellmSettings={"drop_params": True},
        # By default LiteLLM resets budgets whose period is over only every ten minutes.
        generalSettings={
            "proxy_budget_rescheduler_min_time": 5,
            "proxy_budget_rescheduler_max_time": 10,
            "proxy_batch_write_at": 2,
        },
        keyDefaults={"tpmLimit": 10_000_000, "rpmLimit": 100_000},
    )


def make_main(kube: Kube) -> str:
    """Make the route ``main`` in namespace ``ai`` and all that it needs, and wait until it is ready.

    Returns:
        Its master key.
    """
    for name in (AI, TEAM):
        kube.apply(namespace(name))
    kube.apply(
        *what_pods_need(AI),
        *python_server("painter", "painter", 8080),
        secret("painter-key", KEY="the-key-of-the-painter", ORGANIZATION="o-1"),
    )
    kube.apply(main_route())
    kube.wait_ready("litellmroute", AI, "main", timeout=LONG_SECONDS)
    return kube.secret(AI, "main-master-key")["LITELLM_MASTER_KEY"]
