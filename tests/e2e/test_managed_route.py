"""What stands around a managed route's pods, and how it follows its resource."""

from .support import AI, Kube, Proxy


def test_smoke(kube: Kube, proxy: Proxy) -> None:
    assert kube.must("networkpolicy", AI, "main-litellm")
    assert kube.must("networkpolicy", AI, "main-postgres")
