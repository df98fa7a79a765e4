"""docs/security.md: each claim names tests, all of which exist, and the policy that it shows closes what it says."""

import ipaddress
import re
from pathlib import Path
from typing import Any

import yaml
from litclaw.net.address import AddressGuard
from litclaw.render.metadata import labels

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_each_claim_names_tests_that_exist() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE))
    section = PAGE.partition("## What holds\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| ") and "| shown by |" not in line]
    assert len(rows) >= 40
    for claim, shown in rows:
        named = set(re.findall(r"`(test_\w+)`", shown))
        assert named and named <= defined, f"{claim}: {named - defined or 'no test'}"


def _policy() -> dict[str, Any]:
    [text] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_the_policy_selects_a_proxy_and_closes_every_metadata_address() -> None:
    spec = _policy()["spec"]
    assert spec["podSelector"]["matchLabels"] == labels("main", "proxy")
    peers = [peer for rule in spec["egress"] if "ports" not in rule for peer in rule["to"]]
    blocks = [peer["ipBlock"] for peer in peers if "ipBlock" in peer]
    guard = AddressGuard()
    ipv4 = ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
    for address in (*ipv4, "fd00:ec2::254", "fd20:ce::254", "fe80::1"):
        ip = ipaddress.ip_address(address)
        assert guard.refuses(address)
        for block in blocks:
            excepted = any(ip in ipaddress.ip_network(each) for each in block["except"])
            assert ip not in ipaddress.ip_network(block["cidr"]) or excepted, address
    for block in blocks:
        for each in block["except"]:
            assert ipaddress.ip_network(each).subnet_of(ipaddress.ip_network(block["cidr"])), each  # type: ignore[arg-type]
