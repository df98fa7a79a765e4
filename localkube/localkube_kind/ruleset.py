"""NetworkPolicies as one nftables ruleset.

The node routes every packet between pods (see the CNI configuration), so it passes the node's ``forward`` hook, after
kube-proxy has replaced a Service's address by a pod's. Packets from a pod to the node itself, such as to the API
server, pass the ``input`` hook. Packets from the node to a pod, such as kubelet's probes, pass neither hook, and so are
never blocked, as Kubernetes requires.

A policy becomes a chain that accepts what it allows. A pod that is selected by a policy gets a chain that jumps to the
chains of its policies and drops the rest. Egress and ingress are two consecutive base chains, because ``accept`` ends
only its own base chain, and both have to accept a packet.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]
TABLE = "network_policy"
_OVER = ("Succeeded", "Failed")
_PEER_FIELD = {"ingress": "from", "egress": "to"}
_PEER_ADDRESS = {"ingress": "ip saddr", "egress": "ip daddr"}
_OWN_ADDRESS = {"ingress": "ip daddr", "egress": "ip saddr"}
_COMMENT_CHARACTERS = 120


@dataclass(frozen=True)
class Pod:
    """The properties of a pod that a policy uses: ``ports`` are its named ports, as (protocol, name, number)."""

    namespace: str
    labels: Mapping[str, str]
    address: str
    ports: tuple[tuple[str, str, int], ...] = ()

    @classmethod
    def of(cls, pod: Object) -> "Pod | None":
        """A pod from the API; None if it has no address of its own, or has ended."""
        spec, status = pod["spec"], pod.get("status", {})
        address = status.get("podIP", "")
        if not address or spec.get("hostNetwork") or status.get("phase") in _OVER:
            return None
        containers = [*spec["containers"], *spec.get("initContainers", ())]
        ports = [port for container in containers for port in container.get("ports", ()) if port.get("name")]
        named = tuple((port.get("protocol", "TCP"), port["name"], port["containerPort"]) for port in ports)
        return cls(pod["metadata"]["namespace"], pod["metadata"].get("labels", {}), address, named)


@dataclass(frozen=True)
class Policy:
    """A NetworkPolicy."""

    namespace: str
    name: str
    spec: Object

    @classmethod
    def of(cls, policy: Object) -> "Policy":
        """A policy from the API."""
        return cls(policy["metadata"]["namespace"], policy["metadata"]["name"], policy.get("spec", {}))


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects these labels; an empty one selects all."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_holds(expression, labels) for expression in selector.get("matchExpressions", ()))


def _holds(expression: Object, labels: Mapping[str, str]) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values", ())
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return (key in labels) == (operator == "Exists")


def _set(elements: Iterable[str]) -> str:
    return "{ " + ", ".join(elements) + " }"


def _block(match: str, block: Object) -> str | None:
    cidr = ipaddress.ip_network(block["cidr"], strict=False)
    if cidr.version != 4:
        return None
    excluded = ipaddress.collapse_addresses(ipaddress.IPv4Network(net, strict=False) for net in block.get("except", ()))
    beside = _set(map(str, excluded))
    return f"{match} {cidr}" + (f" {match} != {beside}" if block.get("except") else "")


class _Compiler:
    """Compiles policies to text, with the pods and namespace labels for their selectors."""

    def __init__(self, pods: Sequence[Pod], namespaces: Mapping[str, Mapping[str, str]]) -> None:
        self._pods = sorted(pods, key=lambda pod: ipaddress.ip_address(pod.address))
        self._namespaces = namespaces

    def selected(self, policy: Policy) -> list[Pod]:
        """The pods that a policy selects."""
        selector = policy.spec.get("podSelector", {})
        return [pod for pod in self._pods if pod.namespace == policy.namespace and selects(selector, pod.labels)]

    def _is_peer(self, pod: Pod, peer: Object, policy: Policy) -> bool:
        if "namespaceSelector" in peer:
            near = selects(peer["namespaceSelector"], self._namespaces.get(pod.namespace, {}))
        else:
            near = pod.namespace == policy.namespace
        return near and selects(peer.get("podSelector", {}), pod.labels)

    def _peers(self, direction: str, rule: Object, policy: Policy) -> list[str]:
        """Matches for the peer; one that matches everything if the rule names none."""
        given, match = rule.get(_PEER_FIELD[direction]), _PEER_ADDRESS[direction]
        if not given:
            return [""]
        chosen = [peer for peer in given if "ipBlock" not in peer]
        addresses = [pod.address for pod in self._pods if any(self._is_peer(pod, peer, policy) for peer in chosen)]
        found = [_block(match, peer["ipBlock"]) for peer in given if "ipBlock" in peer]
        found += [f"{match} {_set(addresses)}"] if addresses else []
        return [one for one in found if one is not None]

    def _ports(self, direction: str, rule: Object, policy: Policy) -> list[str]:
        """Matches for the port, always the receiver's; a named port is resolved for each pod."""
        receivers = self.selected(policy) if direction == "ingress" else self._pods
        found = []
        for port in rule.get("ports", ()):
            protocol = port.get("protocol", "TCP")
            number = port.get("port")
            if number is None:
                found.append(f"meta l4proto {protocol.lower()}")
            elif isinstance(number, int):
                end = port.get("endPort", number)
                found.append(f"{protocol.lower()} dport {number}" + (f"-{end}" if end > number else ""))
            else:
                ends = [
                    (pod.address, end)
                    for pod in receivers
                    for kind, name, end in pod.ports
                    if (kind, name) == (protocol, number)
                ]
                if ends:
                    pairs = _set(f"{address} . {end}" for address, end in ends)
                    found.append(f"ip daddr . {protocol.lower()} dport {pairs}")
        return found if rule.get("ports") else [""]

    def policy_chain(self, direction: str, policy: Policy) -> list[str]:
        """The rules that accept what a policy allows."""
        comment = f'comment "{policy.namespace}/{policy.name}"'[:_COMMENT_CHARACTERS].rstrip('"') + '"'
        rules = []
        for rule in policy.spec.get(direction, ()):
            for peer in self._peers(direction, rule, policy):
                for port in self._ports(direction, rule, policy):
                    rules.append(" ".join(part for part in (peer, port, "accept", comment) if part))
        return rules


def render(pods: Iterable[Pod], namespaces: Mapping[str, Mapping[str, str]], policies: Iterable[Policy]) -> str:
    """The ruleset, which replaces the previous one in a single transaction; the same input gives the same text."""
    compiler = _Compiler(list(pods), namespaces)
    ordered = sorted(policies, key=lambda policy: (policy.namespace, policy.name))
    chains: dict[str, list[str]] = {}
    maps: dict[str, list[str]] = {}
    for direction in ("egress", "ingress"):
        of_pods: dict[str, list[str]] = {}
        for number, policy in enumerate(ordered):
            if direction.capitalize() not in policy.spec.get("policyTypes", ("Ingress",)):
                continue
            chain = f"{direction}_policy_{number}"
            chains[chain] = compiler.policy_chain(direction, policy)
            for pod in compiler.selected(policy):
                of_pods.setdefault(pod.address, []).append(f"jump {chain}")
        for address, jumps in of_pods.items():
            itself = f"{_PEER_ADDRESS[direction]} {address} accept"
            chains[f"{direction}_{address}"] = [itself, *jumps, "drop"]
        gotos = [f"{address} : goto {direction}_{address}" for address in of_pods]
        maps[direction] = [f"{_OWN_ADDRESS[direction]} vmap {_set(gotos)}"] if gotos else []
    for name, hook, priority, direction in (
        ("egress", "forward", 0, "egress"),
        ("egress_to_node", "input", 0, "egress"),
        ("ingress", "forward", 1, "ingress"),
    ):
        head = f"type filter hook {hook} priority {priority}; policy accept;"
        chains[name] = [head, "ct state established,related accept", *maps[direction]]
    body = [
        line
        for name, rules in chains.items()
        for line in (f"  chain {name} {{", *(f"    {rule}" for rule in rules), "  }")
    ]
    return "\n".join([f"table ip {TABLE}", f"delete table ip {TABLE}", f"table ip {TABLE} {{", *body, "}", ""])
