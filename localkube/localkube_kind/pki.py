"""Creates a cluster's certificates with openssl, and its kubeconfigs."""

import base64
import json
import subprocess
from pathlib import Path

_CERTIFICATES = {
    # name: (subject, subject alternative names)
    "apiserver": (
        "/CN=kube-apiserver",
        "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
        "DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:10.96.0.1,IP:{node_ip}",
    ),
    "admin": ("/O=system:masters/CN=kubernetes-admin", ""),
    "controller-manager": ("/CN=system:kube-controller-manager", ""),
    "scheduler": ("/CN=system:kube-scheduler", ""),
    "proxy": ("/CN=system:kube-proxy", ""),
    "network-policy": ("/CN=localkube:network-policy", ""),
    "kubelet": ("/O=system:nodes/CN=system:node:{node}", "DNS:{node},IP:{node_ip}"),
    "kubelet-client": ("/O=system:masters/CN=kube-apiserver-kubelet-client", ""),
}
CLIENTS = ("admin", "controller-manager", "scheduler", "proxy", "kubelet")


def _openssl(folder: Path, *args: str) -> None:
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


def _key(folder: Path, name: str) -> None:
    _openssl(folder, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")


def make_certificates(folder: Path, *, node: str, node_ip: str) -> None:
    """Create a certificate authority and a certificate for each component, valid for ten years."""
    _key(folder, "ca")
    _openssl(
        folder, "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=localkube-ca", "-days", "3650", "-out", "ca.crt"
    )
    for name, (subject, names) in _CERTIFICATES.items():
        _key(folder, name)
        _openssl(
            folder, "req", "-new", "-key", f"{name}.key", "-subj", subject.format(node=node), "-out", f"{name}.csr"
        )
        extensions = ["extendedKeyUsage=clientAuth,serverAuth", "basicConstraints=CA:FALSE"]
        if names:
            extensions.append(f"subjectAltName={names.format(node=node, node_ip=node_ip)}")
        (folder / f"{name}.ext").write_text("\n".join(extensions))
        sign = ["x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
        _openssl(folder, *sign, "-days", "3650", "-out", f"{name}.crt", "-extfile", f"{name}.ext")
    _key(folder, "service-account")
    _openssl(folder, "pkey", "-in", "service-account.key", "-pubout", "-out", "service-account.pub")


def kubeconfig(folder: Path, *, client: str, server: str, cluster: str) -> str:
    """A kubeconfig that needs no other file."""

    def data(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    user = {"client-certificate-data": data(f"{client}.crt"), "client-key-data": data(f"{client}.key")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": data("ca.crt")}}],
        "users": [{"name": cluster, "user": user}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": cluster}}],
        "current-context": cluster,
    }
    return json.dumps(config, indent=2) + "\n"
