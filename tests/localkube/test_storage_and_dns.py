"""Volumes of the default StorageClass, names of the cluster's DNS, Services."""

from pathlib import Path

from localkube_kind.layout import Layout

from .conftest import NAME
from .support import Kube, Object, eventually, pod


def _claim(namespace: str, name: str) -> Object:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def _with_volume(namespace: str, name: str, claim: str, *command: str) -> Object:
    found = pod(namespace, name, *command, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    found["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    found["spec"]["securityContext"] = {"runAsUser": 1000, "runAsGroup": 1000}
    return found


def _service(namespace: str, name: str, **spec: object) -> Object:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": {"app": "web"}, **spec}}


def test_a_claim_without_a_class_gets_a_volume_that_outlives_its_pod_and_goes_with_the_claim(
    kube: Kube, namespace: str
) -> None:
    kube.apply(
        _claim(namespace, "data"), _with_volume(namespace, "one", "data", "sh", "-c", "echo kept >/data/a; sleep 600")
    )
    kube.wait(namespace, "pod/one", "condition=Ready")
    assert kube.get(namespace, "pvc", "data")["status"]["phase"] == "Bound"
    eventually(lambda: kube.exec(namespace, "one", "cat", "/data/a").stdout.strip() == "kept")
    kube.kubectl("-n", namespace, "delete", "pod", "one")
    kube.apply(_with_volume(namespace, "two", "data", "sleep", "600"))
    kube.wait(namespace, "pod/two", "condition=Ready")
    assert kube.exec(namespace, "two", "cat", "/data/a").stdout.strip() == "kept"
    volumes: Path = Layout(NAME).root / "volumes"
    assert len(list(volumes.glob(f"*_{namespace}_data"))) == 1

    kube.kubectl("-n", namespace, "delete", "pod/two", "pvc/data")

    eventually(lambda: not list(volumes.glob(f"*_{namespace}_data")))
    eventually(lambda: f"{namespace}/data" not in kube.kubectl("get", "pv", "-o", "wide").stdout)


def test_services_are_reached_by_name_and_address_and_a_headless_one_names_its_pod(kube: Kube, namespace: str) -> None:
    kube.apply(
        pod(namespace, "web", "httpd", "-f", "-p", "8080", "-h", "/etc"),
        pod(namespace, "client", "sleep", "600"),
        _service(namespace, "web", ports=[{"port": 80, "targetPort": 8080}]),
        _service(namespace, "each", clusterIP="None", ports=[{"port": 8080}]),
    )
    for name in ("web", "client"):
        kube.wait(namespace, f"pod/{name}", "condition=Ready")
    address = kube.get(namespace, "pod", "web")["status"]["podIP"]
    url = f"http://web.{namespace}.svc.cluster.local/hostname"
    eventually(lambda: kube.exec(namespace, "client", "wget", "-qO-", url).stdout.strip() == "web")
    # Its own Service, too: the packet leaves the pod and comes back to it.
    assert kube.exec(namespace, "web", "wget", "-qO-", url).stdout.strip() == "web"
    for short in ("web", f"web.{namespace}", f"web.{namespace}.svc"):
        assert kube.exec(namespace, "client", "wget", "-qO-", f"http://{short}/hostname").returncode == 0
    name = f"each.{namespace}.svc.cluster.local"
    eventually(lambda: address in kube.exec(namespace, "client", "nslookup", name).stdout)
    kube.wait_reaches(namespace, "client", "kubernetes.default.svc.cluster.local", 443)
