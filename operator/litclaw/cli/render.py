"""``litclaw render``: what the operator would make of manifests, for review before they are applied."""

import json
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from ..api import names
from ..render.metadata import Manifest
from . import manifests, output
from .offline import MADE_UP, UNKNOWN, Info, Made, make_all
from .output import EXITS, Exit, Fault, plural

_FILES = (names.CONFIG_YAML, names.OPENCLAW_JSON)


class RenderForm(StrEnum):
    """How objects are printed."""

    YAML = "yaml"
    JSON = "json"


def render(
    files: Annotated[
        list[str],
        typer.Option(
            "--filename", "-f", help="A file, a folder with all below it, or - for standard input; repeatable."
        ),
    ],
    output_dir: Annotated[
        Path | None,
        typer.Option(help="Folder to write a file an object to, and config.yaml and openclaw.json as they are."),
    ] = None,
    model_info: Annotated[
        Path | None,
        typer.Option(help="What the proxy answers at /model/info, for the prices and sizes that only it knows."),
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of manifests that name none.")] = "default",
    operator_namespace: Annotated[
        str, typer.Option(help="Where the operator runs, which the NetworkPolicies let in.")
    ] = "litclaw-system",
    form: Annotated[
        RenderForm, typer.Option("--output", "-o", help="YAML documents, or one JSON list.")
    ] = RenderForm.YAML,
) -> None:
    """What routes and agents become: config.yaml, openclaw.json and every object, without a cluster.

    It is what the operator of this release makes. Secret values are placeholders (MADE-UP-BY-THE-OPERATOR), as is what only
    a cluster knows (KNOWN-IN-THE-CLUSTER-ALONE). Rules that the CRDs have in CEL are the API server's to check:
    kubectl apply --dry-run=server.
    """
    try:
        given = manifests.read(files, sys.stdin, namespace)
    except manifests.BadInputError as error:
        lines = [str(line) for line in error.args]
        raise Fault("\n".join(lines), f"{plural(len(lines), 'mistake')}; nothing is rendered.", Exit.USAGE) from None
    if not given.routes and not given.agents:
        raise Fault("no LiteLLMRoute or OpenClawAgent is among the manifests", "Name other files with -f.", Exit.USAGE)
    made = make_all(given, operator_namespace=operator_namespace, info=_info(model_info))
    if output_dir:
        _write(output_dir, made, given)
    else:
        _print(made, given, form)
    _tell(made)
    if any(each.problem for each in made):
        raise typer.Exit(int(Exit.WRONG))


render.__doc__ = f"{render.__doc__}\n\n{EXITS}"


def _info(path: Path | None) -> Info | None:
    """What a proxy's /model/info says, by model.

    Raises:
        Fault: the file isn't that.
    """
    if path is None:
        return None
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["data"]
        return {str(entry["model_name"]): dict(entry.get("model_info") or {}) for entry in reversed(entries)}
    except (OSError, ValueError, LookupError, TypeError):
        remedy = 'Get it with: curl -H "Authorization: Bearer $LITELLM_MASTER_KEY" $URL/model/info'
        raise Fault(f"{path} isn't what LiteLLM answers at /model/info", remedy, Exit.USAGE) from None


class _Dumper(yaml.SafeDumper):
    """Files as blocks that people can read, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(manifest: Manifest) -> str:
    dumped: str = yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return dumped


def _print(made: list[Made], given: manifests.Manifests, form: RenderForm) -> None:
    if form is RenderForm.JSON:
        items = [manifest for each in made for manifest in each.objects]
        output.data({"apiVersion": "v1", "kind": "List", "items": items}, output.Form.JSON)
        return
    for each in made:
        for manifest in each.objects:
            print(f"---\n{_head(each, given)}\n{_yaml(manifest)}", end="")


def _head(each: Made, given: manifests.Manifests) -> str:
    kind, namespace, name = each.owner
    return f"# {kind} {namespace}/{name} ({given.sources[each.owner]})"


def _write(folder: Path, made: list[Made], given: manifests.Manifests) -> None:
    count = 0
    try:
        for each in made:
            for manifest in each.objects:
                for name, text in _files_of(manifest, _head(each, given)):
                    path = folder / manifest["metadata"]["namespace"] / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8")
                    count += 1
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        raise Fault(message, "Name a folder that can be written with --output-dir.", Exit.USAGE) from None
    output.tell(f"{plural(count, 'file')} in {folder}.")


def _files_of(manifest: Manifest, head: str) -> Iterator[tuple[str, str]]:
    name = manifest["metadata"]["name"]
    yield f"{manifest['kind'].lower()}-{name}.yaml", f"{head}\n{_yaml(manifest)}"
    data: Mapping[str, str] = manifest.get("data") or {}
    for file in _FILES:
        if file in data:
            yield f"{name}.{file}", data[file]


def _tell(made: list[Made]) -> None:
    """What isn't as it would be in the cluster, and what wouldn't become ready. A remark of many is told once."""
    remarks: dict[str, list[str]] = {}
    for each in made:
        kind, namespace, name = each.owner
        if each.problem:
            output.tell_fault(Fault(f"{kind} {namespace}/{name} wouldn't become ready: {each.problem}"))
        for remark in each.remarks:
            remarks.setdefault(remark, []).append(f"{namespace}/{name}")
    for remark, owners in remarks.items():
        more = f" and {len(owners) - 3} more" if len(owners) > 3 else ""
        output.tell(f"note: {', '.join(owners[:3])}{more}: {remark}")
    objects = [manifest for each in made for manifest in each.objects]
    text = json.dumps(objects)
    for mark, what in ((MADE_UP, "a secret value"), (UNKNOWN, "what only the cluster knows")):
        if mark in text:
            output.tell(f"note: {mark} stands for {what}.")
