"""Whether real OpenClaw releases accept the openclaw.json that is rendered for them.

Usage: python -m dev.openclaw_releases [RELEASE...]

Installs each release from npm into the cache (more than a gigabyte and a few minutes each) and runs its
``openclaw config validate``. By default: the first release of each line of `litclaw.render.openclaw.releases`, the last
release before it, and the one that the operator runs.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from litclaw.api.agent import OpenClawAgent
from litclaw.api.images import OPENCLAW_IMAGE
from litclaw.api.models import OpenClawModel
from litclaw.render.openclaw.config import model_facts, openclaw_config
from rich.console import Console
from rich.table import Table

from .cluster import ROOT

sys.path.insert(0, str(ROOT / "localkube"))

from localkube_kind import cache

RELEASES = ("2026.4.9", "2026.4.10", "2026.4.24", "2026.4.25", "2026.7.35", "2026.8.1")
_NODE = "24"
_INFO = {
    "max_input_tokens": 200_000,
    "max_output_tokens": 64_000,
    "supports_vision": True,
    "input_cost_per_token": 5e-06,
    "output_cost_per_token": 2.5e-05,
    "cache_read_input_token_cost": 5e-07,
}


def _install(package: str, version: str) -> Path:
    """Install an npm package into its own folder; returns that folder's ``node_modules``."""
    folder = cache.folder("openclaw", f"{package}-{version}")
    modules = folder / "node_modules"
    if not (modules / package / "package.json").exists():
        print(f"installing {package} {version} …", file=sys.stderr, flush=True)
        scripts = () if package == "node" else ("--ignore-scripts",)
        command = ("npm", "install", "--no-audit", "--no-fund", *scripts, f"{package}@{version}")
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return modules


def _rendered(release: str, **spec: Any) -> str:
    """The openclaw.json of an agent that uses every field, for a release."""
    spec = {
        "routeRef": {"name": "main"},
        "fallbackModels": ["gpt-4o"],
        "imageModel": {"name": "gpt-image-2", "timeout": "180s"},
        "config": {"openclawVersion": release},
        **spec,
    }
    agent = OpenClawAgent.model_validate({"metadata": {"name": "scout", "namespace": "team-a"}, "spec": spec})
    facts = [model_facts(name, OpenClawModel(), _INFO) for name in ("claude-opus-4-6", "gpt-4o", "gpt-image-2")]
    url = "http://main-litellm.ai.svc.cluster.local:4000"
    return openclaw_config(
        agent, base_url=url, allow_private_network=True, models=facts, authorities="a certificate"
    ).text


def _verdict(openclaw: Path, node: Path, text: str) -> str:
    """The release's error message for a config; empty: valid."""
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "openclaw.json"
        path.touch(mode=0o600)
        path.write_text(text)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "OPENCLAW_CONFIG_PATH": str(path),
            "OPENCLAW_STATE_DIR": f"{home}/state",
            "LITELLM_API_KEY": "sk-for-validation",
            "OPENCLAW_GATEWAY_TOKEN": "for-validation",
            "NO_COLOR": "1",
        }
        command = [str(node), str(openclaw / "openclaw" / "openclaw.mjs"), "config", "validate"]
        done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    return "" if done.returncode == 0 else " ".join((done.stdout + done.stderr).split())[:300]


def main(arguments: list[str]) -> int:
    """Validate; returns the exit status: 1 if a release rejects a config."""
    ours = OPENCLAW_IMAGE.rpartition(":")[2]
    node = _install("node", _NODE) / "node" / "bin" / "node"
    table, failed = Table("OpenClaw", "without a gateway", "with a gateway"), False
    for release in arguments or [*RELEASES, ours]:
        openclaw = _install("openclaw", release)
        image = f"ghcr.io/openclaw/openclaw:{release}"
        texts = (_rendered(release), _rendered(release, gateway={"image": image}))
        verdicts = [_verdict(openclaw, node, text) for text in texts]
        failed = failed or any(verdicts)
        table.add_row(release, *(verdict or "valid" for verdict in verdicts))
        print(json.dumps({"release": release, "verdicts": verdicts}), file=sys.stderr, flush=True)
    Console().print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
