"""A component of a node: enforces NetworkPolicies with nftables in the node's own network namespace.

It watches pods, namespaces and policies. On every change it renders the whole ruleset and replaces the old one in one
transaction. A node has at most a few hundred pods, so this takes milliseconds, and no state can become stale.
"""

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from . import ruleset
from .layout import API_PORT, NODE_IP
from .watch import Watch, credentials

CLIENT = "network-policy"
_PEERS = [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}, {"podSelector": {}}]
_PORTS = [{"port": 80}, {"port": 8000, "endPort": 8080}, {"port": "dns", "protocol": "UDP"}, {"protocol": "SCTP"}]
# Changes within this time, such as those of a roll-out, are handled together.
_BURST_SECONDS = 0.02
_RETRY_SECONDS = 5.0


def _sample() -> str:
    """A ruleset with every kind of rule."""
    pod = ruleset.Pod("default", {}, "192.0.2.1", (("UDP", "dns", 53),))
    rule = {"ports": _PORTS}
    spec = {
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": _PEERS, **rule}],
        "egress": [{"to": _PEERS, **rule}],
    }
    return ruleset.render([pod], {"default": {}}, [ruleset.Policy("default", "sample", spec)])


def refusal(command: Sequence[str]) -> str | None:
    """Why a kernel can't enforce policies; None: it can.

    Args:
        command: validates the ruleset on its standard input, in the node's namespaces.
    """
    done = subprocess.run(command, input=_sample(), capture_output=True, text=True)
    return done.stderr.strip() or f"nft exits with {done.returncode}" if done.returncode else None


def _apply(text: str) -> bool:
    done = subprocess.run(["nft", "--file", "-"], input=text, capture_output=True, text=True)
    if done.returncode:
        print(f"nft: {done.stderr.strip()}", file=sys.stderr, flush=True)
    return not done.returncode


def enforce(pki: Path) -> None:
    """Watch and apply policies; doesn't return.

    Args:
        pki: the folder of the cluster's certificates.
    """
    changed = threading.Event()
    context = credentials(pki, CLIENT)
    server = (NODE_IP, API_PORT)
    pods = Watch(server, context, "/api/v1/pods", ruleset.Pod.of, changed.set)
    namespaces = Watch(
        server, context, "/api/v1/namespaces", lambda found: found["metadata"].get("labels", {}), changed.set
    )
    policies = Watch(server, context, "/apis/networking.k8s.io/v1/networkpolicies", ruleset.Policy.of, changed.set)
    watches = (pods, namespaces, policies)
    for watch in watches:
        threading.Thread(target=watch.run, daemon=True).start()
    applied = None
    while True:
        changed.wait()
        time.sleep(_BURST_SECONDS)
        changed.clear()
        if not all(watch.listed for watch in watches):
            continue
        labels = {key.removeprefix("/"): found for key, found in namespaces.objects.items()}
        text = ruleset.render(pods.objects.values(), labels, policies.objects.values())
        if text == applied:
            continue
        if _apply(text):
            applied = text
        else:
            time.sleep(_RETRY_SECONDS)
            changed.set()


def main() -> int:
    """Run the component."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pki", type=Path, required=True)
    enforce(parser.parse_args().pki)
    return 0


if __name__ == "__main__":
    sys.exit(main())
