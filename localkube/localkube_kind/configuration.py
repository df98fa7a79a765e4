"""The configuration files and command lines of the components."""

import json
import sys
from pathlib import Path
from typing import Any

from . import build, image, pki
from .layout import API_PORT, CONTAINERD_SOCKET, DNS_IP, KUBELET, NODE_IP, POD_CIDR, SERVICE_CIDR, Layout

_READS = ["get", "list", "watch"]
_AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"], "verbs": _READS},
        # All requests of pods, including reads, to show which permissions they use.
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None", "verbs": _READS},
        {"level": "None", "resources": [{"group": "coordination.k8s.io"}]},
        {"level": "Metadata"},
    ],
}


def _containerd(at: Layout) -> str:
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower the score, and exits.
    return f"""version = 2
root = "{at.root}/containerd"
state = "/run/containerd-state"
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{at.root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image.PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{at.config}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def _kubelet(at: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{at.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{at.cgroup}",
        "failCgroupV1": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS_IP],
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "tlsCertFile": f"{at.pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{at.pki}/kubelet.key",
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "evictionHard": {"memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,
        "enforceNodeAllocatable": [],
        "resolvConf": "",
        "volumePluginDir": f"{KUBELET}/volume-plugins",
        "maxPods": 250,
        "syncFrequency": "10s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "serializeImagePulls": False,
    }


def _proxy(at: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{at.pki}/proxy.kubeconfig"},
        "clusterCIDR": POD_CIDR,
        "hostnameOverride": at.node,
        "mode": "iptables",
        "iptables": {"minSyncPeriod": "100ms"},
        "conntrack": {"maxPerCore": 0},
    }


def _cni() -> dict[str, Any]:
    # ptp instead of a bridge: the node routes every packet between pods, so that policies can filter it.
    subnet = [[{"subnet": POD_CIDR}]]
    ipam = {"type": "host-local", "ranges": subnet, "routes": [{"dst": "0.0.0.0/0"}]}
    plugins = [
        {"type": "ptp", "ipMasq": False, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return {"cniVersion": "0.4.0", "name": "localkube", "plugins": plugins}


def write(at: Layout, host_port: int) -> None:
    """Write every file that a node reads."""
    for folder in (at.pki, at.config / "cni", at.logs, *(at.root / name for name in ("etcd", "kubelet", "volumes"))):
        folder.mkdir(parents=True, exist_ok=True)
    pki.make_certificates(at.pki, node=at.node, node_ip=NODE_IP)
    for client in pki.CLIENTS:
        text = pki.kubeconfig(at.pki, client=client, server=f"https://{NODE_IP}:{API_PORT}", cluster=at.name)
        (at.pki / f"{client}.kubeconfig").write_text(text)
    context = f"kind-{at.name}"
    admin = pki.kubeconfig(at.pki, client="admin", server=f"https://127.0.0.1:{host_port}", cluster=context)
    _private(at.kubeconfig, admin)
    (at.config / "containerd.toml").write_text(_containerd(at))
    for name, content in (("audit", _AUDIT_POLICY), ("kubelet", _kubelet(at)), ("proxy", _proxy(at))):
        (at.config / f"{name}.json").write_text(json.dumps(content))
    (at.config / "cni" / "10-localkube.conflist").write_text(json.dumps(_cni()))


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def commands(at: Layout) -> dict[str, list[str]]:
    """The command line of each component, in start order."""
    node = str(build.path_of("localkube"))
    keys = str(at.pki)
    return {
        "etcd": [
            *(node, "etcd", f"--data-dir={at.root}/etcd", f"--name={at.name}", "--unsafe-no-fsync", "--log-level=warn"),
            *("--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379"),
            *("--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380"),
            f"--initial-cluster={at.name}=http://127.0.0.1:2380",
        ],
        "kube-apiserver": [
            *(node, "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--bind-address={NODE_IP}"),
            *(f"--advertise-address={NODE_IP}", f"--secure-port={API_PORT}", "--allow-privileged=true"),
            *("--authorization-mode=Node,RBAC", f"--client-ca-file={keys}/ca.crt"),
            *("--enable-admission-plugins=NodeRestriction", f"--service-cluster-ip-range={SERVICE_CIDR}"),
            *(f"--tls-cert-file={keys}/apiserver.crt", f"--tls-private-key-file={keys}/apiserver.key"),
            *(
                f"--kubelet-client-certificate={keys}/kubelet-client.crt",
                f"--kubelet-client-key={keys}/kubelet-client.key",
            ),
            *(f"--kubelet-certificate-authority={keys}/ca.crt", "--kubelet-preferred-address-types=InternalIP"),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            *(
                f"--service-account-key-file={keys}/service-account.pub",
                f"--service-account-signing-key-file={keys}/service-account.key",
            ),
            *(f"--audit-policy-file={at.config}/audit.json", f"--audit-log-path={at.audit_log}"),
            *("--audit-log-maxsize=200", "--audit-log-maxbackup=1", "--profiling=false"),
        ],
        "kube-controller-manager": [
            *(node, "kube-controller-manager", f"--kubeconfig={keys}/controller-manager.kubeconfig"),
            *(f"--authentication-kubeconfig={keys}/controller-manager.kubeconfig", "--leader-elect=false"),
            *(f"--authorization-kubeconfig={keys}/controller-manager.kubeconfig", f"--root-ca-file={keys}/ca.crt"),
            *(f"--service-account-private-key-file={keys}/service-account.key", "--use-service-account-credentials"),
            *(f"--cluster-cidr={POD_CIDR}", "--allocate-node-cidrs=false", "--bind-address=127.0.0.1"),
            f"--flex-volume-plugin-dir={KUBELET}/volume-plugins",
        ],
        "kube-scheduler": [
            *(node, "kube-scheduler", f"--kubeconfig={keys}/scheduler.kubeconfig", "--leader-elect=false"),
            *(f"--authentication-kubeconfig={keys}/scheduler.kubeconfig", "--bind-address=127.0.0.1"),
            f"--authorization-kubeconfig={keys}/scheduler.kubeconfig",
        ],
        "containerd": ["containerd", "--config", f"{at.config}/containerd.toml"],
        "kube-proxy": [node, "kube-proxy", f"--config={at.config}/proxy.json"],
        "network-policy": [sys.executable, "-m", "localkube_kind.network_policy", f"--pki={keys}"],
        "kubelet": [
            *(node, "kubelet", f"--config={at.config}/kubelet.json", f"--kubeconfig={keys}/kubelet.kubeconfig"),
            *(f"--root-dir={KUBELET}", f"--hostname-override={at.node}", f"--node-ip={NODE_IP}"),
        ],
    }
