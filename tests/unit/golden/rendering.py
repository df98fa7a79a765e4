"""The rendered objects of the cases, as the files of their folders."""

import base64
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import yaml
from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.api.route import LiteLLMRoute
from litclaw.cli.main import app
from litclaw.reconcile.context import Context
from litclaw.reconcile.route.master_key import master_key_secret
from litclaw.render.agent.secret import agent_secret
from litclaw.render.metadata import Manifest, sealed, without_owner
from typer.testing import CliRunner

GOLDEN = Path(__file__).parent
_INPUT, _MODEL_INFO = "input.yaml", "model-info.json"
CASES = sorted(path.parent.name for path in GOLDEN.glob(f"*/{_INPUT}"))


def rendered(case: str) -> dict[str, bytes]:
    """The files that a case's folder should have beside its input, by name."""
    objects = _BY_RECONCILERS_ALONE.get(case, _rendered_offline)(GOLDEN / case)
    files = {f"{body['kind'].lower()}-{body['metadata']['name']}.yaml": _yaml(body) for body in objects}
    assert len(files) == len(objects), f"{case} renders two objects of one kind and name"
    return files


def stored(case: str) -> dict[str, bytes]:
    """The files that a case's folder has beside its input, by name."""
    paths = (path for path in (GOLDEN / case).iterdir() if path.name not in (_INPUT, _MODEL_INFO))
    return {path.name: path.read_bytes() for path in paths}


def write(case: str) -> None:
    """Make a case's folder what it should be."""
    wanted = rendered(case)
    for name in stored(case).keys() - wanted.keys():
        (GOLDEN / case / name).unlink()
    for name, content in wanted.items():
        (GOLDEN / case / name).write_bytes(content)


def _rendered_offline(folder: Path) -> list[Manifest]:
    """The objects that ``litclaw render`` prints."""
    arguments = ["render", "--filename", str(folder / _INPUT), "--output", "json"]
    if (folder / _MODEL_INFO).exists():
        arguments += ["--model-info", str(folder / _MODEL_INFO)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    objects: list[Manifest] = json.loads(done.stdout)["items"]
    return objects


def _retained_key(folder: Path) -> list[Manifest]:
    agent = OpenClawAgent.model_validate(_input(folder))
    secret = agent_secret(agent, key="MADE-UP-KEY", token="MADE-UP-DIGEST", base_url="https://litellm.example.com")
    return _as_text([without_owner(secret)])


def _new_master_key(folder: Path) -> list[Manifest]:
    route = LiteLLMRoute.model_validate(_input(folder))
    data = {names.MASTER_KEY: "MADE-UP-NEW-KEY", names.MASTER_KEY_BEFORE: "MADE-UP-OLD-KEY"}
    context = cast(Context, SimpleNamespace(now=lambda: datetime(2026, 1, 1, tzinfo=UTC)))
    return _as_text([master_key_secret(context, route, data)])


_BY_RECONCILERS_ALONE: dict[str, Callable[[Path], list[Manifest]]] = {
    "agent-retained-key": _retained_key,
    "managed-route-new-master-key": _new_master_key,
}
"""Cases whose object exists only after a deletion or during a rotation, so that ``litclaw render`` doesn't have it."""


def _input(folder: Path) -> Any:
    return yaml.safe_load((folder / _INPUT).read_text())


def _as_text(secrets: Iterable[Manifest]) -> list[Manifest]:
    """Secrets as they are applied, with their values as text, as ``litclaw render`` prints them."""
    return [
        {
            **{key: value for key, value in sealed(secret).items() if key != "data"},
            "stringData": {key: base64.b64decode(value).decode() for key, value in secret["data"].items()},
        }
        for secret in secrets
    ]


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(manifest: Manifest) -> bytes:
    text: str = yaml.dump(manifest, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=1000)
    return text.encode()
