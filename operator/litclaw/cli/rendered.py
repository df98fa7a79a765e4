"""Rendered objects on standard output or in files, with notes and problems on standard error."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from litclaw.api import names
from litclaw.cli import output
from litclaw.cli.errors import CommandError, Exit
from litclaw.cli.manifests import Manifests
from litclaw.cli.offline import MADE_UP, UNKNOWN, Info, Made
from litclaw.cli.options import OutputFormat
from litclaw.cli.output import plural
from litclaw.litellm.model_info import models_of
from litclaw.render.metadata import Manifest

_FILES = (names.CONFIG_YAML, names.OPENCLAW_JSON)


def read_model_info(path: Path | None) -> Info | None:
    """A proxy's response at /model/info, by model.

    Raises:
        CommandError: the file has something else.
    """
    if path is None:
        return None
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if all(entry["model_name"] for entry in body["data"]):
            return models_of(body)
        raise ValueError("a model without a name")
    except (OSError, ValueError, LookupError, TypeError):
        remedy = 'Save it with: curl -H "Authorization: Bearer $LITELLM_MASTER_KEY" $URL/model/info'
        raise CommandError(f"{path} isn't LiteLLM's response at /model/info", remedy, Exit.USAGE) from None


class _Dumper(yaml.SafeDumper):
    """Multi-line text as blocks, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(manifest: Manifest) -> str:
    dumped: str = yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return dumped


def show(made: list[Made], given: Manifests, *, as_json: bool) -> None:
    """Print every object."""
    if as_json:
        items = [manifest for each in made for manifest in each.objects]
        output.data({"apiVersion": "v1", "kind": "List", "items": items}, OutputFormat.JSON)
        return
    for each in made:
        for manifest in each.objects:
            print(f"---\n{_head(each, given)}\n{_yaml(manifest)}", end="")


def _head(each: Made, given: Manifests) -> str:
    kind, namespace, name = each.owner
    return f"# {kind} {namespace}/{name} ({given.sources[each.owner]})"


def write(folder: Path, made: list[Made], given: Manifests) -> None:
    """Write one file per object, and one per config.yaml and openclaw.json.

    Raises:
        CommandError: the folder can't be written, or a link in it leads out of it.
    """
    count, top = 0, folder.resolve()
    try:
        for each in made:
            for manifest in each.objects:
                for name, text in _files_of(manifest, _head(each, given)):
                    path = folder / manifest["metadata"]["namespace"] / name
                    if not path.resolve().is_relative_to(top):
                        raise CommandError(f"{path} leads out of {folder}", "Name an empty folder.", Exit.USAGE)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8")
                    count += 1
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        raise CommandError(message, "Name a writable folder with --output-dir.", Exit.USAGE) from None
    output.info(f"{plural(count, 'file')} in {folder}.")


def _files_of(manifest: Manifest, head: str) -> Iterator[tuple[str, str]]:
    name = manifest["metadata"]["name"]
    yield f"{manifest['kind'].lower()}-{name}.yaml", f"{head}\n{_yaml(manifest)}"
    data: Mapping[str, str] = manifest.get("data") or {}
    for file in _FILES:
        if file in data:
            yield f"{name}.{file}", data[file]


def report(made: list[Made]) -> None:
    """Print the resources that wouldn't become ready, and each difference from a cluster with its resources."""
    remarks: dict[str, list[str]] = {}
    for each in made:
        kind, namespace, name = each.owner
        if each.problem:
            output.error(CommandError(f"{kind} {namespace}/{name} wouldn't become ready: {each.problem}"))
        for remark in each.remarks:
            remarks.setdefault(remark, []).append(f"{namespace}/{name}")
    for remark, owners in remarks.items():
        more = f" and {len(owners) - 3} more" if len(owners) > 3 else ""
        output.info(f"note: {', '.join(owners[:3])}{more}: {remark}")
    objects = [manifest for each in made for manifest in each.objects]
    text = json.dumps(objects)
    for placeholder, meaning in ((MADE_UP, "a secret value"), (UNKNOWN, "what only the cluster knows")):
        if placeholder in text:
            output.info(f"note: {placeholder} stands for {meaning}.")
