"""Secret values are in Secrets only: every place that could have one is searched for the real values."""

import base64
import json

from .kube import Kube
from .proxy import Proxy
from .resources import AI, TEAM
from .test_rotation import ask, wait_generation
from .waiting import eventually

OWN = (
    (AI, "main-master-key"),
    (AI, "main-salt-key"),
    (AI, "main-postgres"),
    (TEAM, "scout-litellm"),
)
_PUBLIC = {"LITELLM_BASE_URL"}
_PLACES = (
    "litellmroutes,openclawagents,litellmkeyrotations,configmaps,services,deployments,replicasets,statefulsets,pods,events,"
    "persistentvolumeclaims,jobs"
)


def shown(kube: Kube) -> dict[str, str]:
    """The contents of every place that must not have a secret value."""
    places = {f"{body['kind']} {body['metadata']['name']}": json.dumps(body) for body in kube.list(_PLACES)}
    for body in kube.list("secrets"):
        places[f"metadata of Secret {body['metadata']['name']}"] = json.dumps(body["metadata"])
    of_operators = ("logs", "-l", "app.kubernetes.io/name=litclaw", "--tail=-1")
    # Operators that have just started have logged nothing yet.
    log = eventually(lambda: kube.run("-n", "litclaw-system", *of_operators, check=False).stdout)
    return {**places, "the operator's log": log}


def see_no(value: str, what: str, places: dict[str, str]) -> None:
    """Check that a value is in none of the places."""
    shapes = (value, base64.b64encode(value.encode()).decode())
    found = [place for place, text in places.items() for shape in shapes if shape in text]
    assert not found, f"{what} is in {found}"


def test_no_secret_value_outside_of_secrets(kube: Kube, proxy: Proxy, scout: str) -> None:
    old = kube.secret(TEAM, "scout-litellm")["LITELLM_API_KEY"]
    ask(kube, "scout", "to see what is said of it")
    wait_generation(kube, "scout", 2)
    values = {
        f"{namespace}/{name}:{key}": value
        for namespace, name in OWN
        for key, value in kube.secret(namespace, name).items()
        if key not in _PUBLIC
    }
    assert len(values) >= 5
    assert all(len(value) >= 16 for value in values.values())
    places = shown(kube)
    for what, value in {**values, "the key before": old}.items():
        see_no(value, what, places)
    assert any(len(text) > 1000 for text in places.values())
