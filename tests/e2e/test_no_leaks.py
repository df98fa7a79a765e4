"""No secret value is anywhere but in Secrets: every place that could hold one is searched for the real values."""

import base64
import json

from .support import AI, TEAM, Kube, Proxy

OWN = (
    (AI, "main-master-key"),
    (AI, "main-salt-key"),
    (AI, "main-postgres"),
    (TEAM, "scout-litellm"),
)
_PUBLIC = {"LITELLM_BASE_URL"}
_PLACES = (
    "litellmroutes,openclawagents,configmaps,services,deployments,replicasets,statefulsets,pods,events,"
    "persistentvolumeclaims,jobs"
)


def test_no_secret_value_outside_of_secrets(kube: Kube, proxy: Proxy, scout: str) -> None:
    values = {
        f"{namespace}/{name}:{key}": value
        for namespace, name in OWN
        for key, value in kube.secret(namespace, name).items()
        if key not in _PUBLIC
    }
    assert len(values) >= 5
    assert all(len(value) >= 16 for value in values.values())
    places = {f"{body['kind']} {body['metadata']['name']}": json.dumps(body) for body in kube.list(_PLACES)}
    for body in kube.list("secrets"):
        places[f"metadata of Secret {body['metadata']['name']}"] = json.dumps(body["metadata"])
    log = kube.run("-n", "litclaw-system", "logs", "deployment/litclaw", "--tail=-1").stdout
    assert log
    places["the operator's log"] = log
    for what, value in values.items():
        shapes = (value, base64.b64encode(value.encode()).decode())
        found = [place for place, text in places.items() for shape in shapes if shape in text]
        assert not found, f"{what} is in {found}"
    assert any(len(text) > 1000 for text in places.values())
