"""Manifests from files, read as kubectl reads them and validated as the API server would, except for rules in CEL.

A message names file, document and field, but never a value: a manifest may contain a secret.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

import yaml
from pydantic import BaseModel, Field, StrictInt, StrictStr, ValidationError

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.api.base import Model
from litclaw.api.rotation import LiteLLMKeyRotation
from litclaw.api.route import LiteLLMRoute
from litclaw.cli.schema import Checker, is_dns_label, name_mistakes, path

_SUFFIXES: Final = (".yaml", ".yml", ".json")
_MODELS: Final[dict[str, type[BaseModel]]] = {
    names.ROUTE_KIND: LiteLLMRoute,
    names.AGENT_KIND: OpenClawAgent,
    names.ROTATION_KIND: LiteLLMKeyRotation,
}
_NAMESPACED: Final = (names.ROUTE_KIND, names.AGENT_KIND)
M = TypeVar("M", bound=BaseModel)


class BadInputError(Exception):
    """The input is invalid. ``args``: one line per mistake."""


@dataclass(frozen=True, slots=True)
class Source:
    """The place of a manifest."""

    file: str
    document: int

    def __str__(self) -> str:
        return f"{self.file}, document {self.document}"


@dataclass(slots=True)
class Manifests:
    """The manifests, in the order of the input.

    Attributes:
        namespaces: labels of the Namespaces.
        services: Services by namespace and name.
        sources: the places of our resources, by kind, namespace and name.
        skipped: documents in folders that aren't manifests.
    """

    routes: dict[tuple[str, str], LiteLLMRoute] = field(default_factory=dict)
    agents: dict[tuple[str, str], OpenClawAgent] = field(default_factory=dict)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    services: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    sources: dict[tuple[str, str, str], Source] = field(default_factory=dict)
    skipped: list[Source] = field(default_factory=list)


class _Port(Model):
    """A Service's port: the fields that a NetworkPolicy is rendered from."""

    port: StrictInt
    target_port: StrictInt | StrictStr | None = None


class _ServiceSpec(Model):
    """A Service's spec: the fields that are used."""

    selector: dict[str, str] = Field(default_factory=dict)
    ports: list[_Port] = Field(default_factory=list)


class _Service(Model):
    """A Service."""

    spec: _ServiceSpec


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: a timestamp is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(paths: Iterable[str], stdin: TextIO, namespace: str) -> Manifests:
    """Read files, folders (recursively), and ``-`` for standard input.

    Args:
        namespace: for manifests without one.

    Raises:
        BadInputError: with every mistake.
    """
    found, mistakes, checker = Manifests(), list[str](), Checker()
    for file, text, walked in _texts(paths, stdin, mistakes):
        for number, document in enumerate(_documents(file, text, mistakes), 1):
            source = Source(file, number)
            if walked and _is_no_object(document):
                found.skipped.append(source)
                continue
            for body in _items(source, document, mistakes):
                _add(found, source, body, namespace, checker, mistakes)
    if mistakes:
        raise BadInputError(*mistakes)
    return found


def _texts(paths: Iterable[str], stdin: TextIO, mistakes: list[str]) -> Iterator[tuple[str, str, bool]]:
    """Names of files, their text, and whether they were found in a folder rather than named."""
    for given in paths:
        if given == "-":
            yield "standard input", stdin.read(), False
            continue
        top = Path(given)
        walked = top.is_dir()
        files = sorted(p for p in top.rglob("*") if p.suffix in _SUFFIXES and p.is_file()) if walked else [top]
        if not files:
            mistakes.append(f"{top}: no .yaml, .yml or .json below it")
        for file in files:
            try:
                yield str(file), file.read_text(encoding="utf-8"), walked
            except OSError as error:
                mistakes.append(f"{file}: {error.strerror or 'it can not be read'}")
            except UnicodeDecodeError:
                mistakes.append(f"{file}: it isn't text in UTF-8")


def _documents(file: str, text: str, mistakes: list[str]) -> Iterator[Any]:
    try:
        yield from yaml.load_all(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        mistakes.append(f"{file}{where}: it isn't YAML: {error.problem or error.context}")
    except (yaml.YAMLError, RecursionError, ValueError):
        mistakes.append(f"{file}: it isn't YAML")


def _is_no_object(document: Any) -> bool:
    """True if a document isn't meant as a manifest, such as a chart's values."""
    return document is not None and not (isinstance(document, Mapping) and {"apiVersion", "kind"} & document.keys())


def _items(source: Source, document: Any, mistakes: list[str]) -> Iterator[Any]:
    if isinstance(document, Mapping) and document.get("kind") == "List":
        items = document.get("items")
        if isinstance(items, list):
            yield from items
        elif items is not None:
            mistakes.append(f"{source}: List: items: must be array")
    elif document is not None:
        yield document


def _add(found: Manifests, source: Source, body: Any, namespace: str, checker: Checker, mistakes: list[str]) -> None:
    if not isinstance(body, Mapping) or not isinstance(body.get("kind"), str):
        mistakes.append(f"{source}: it isn't a Kubernetes object: kind is missing")
        return
    kind, version = body["kind"], str(body.get("apiVersion") or "")
    meta = body.get("metadata")
    name = meta.get("name") if isinstance(meta, Mapping) else None
    if not version.startswith(f"{names.GROUP}/"):
        _add_other(found, source, body, namespace, mistakes)
        return
    if isinstance(meta, Mapping) and (wrong := name_mistakes(meta)):
        mistakes += [f"{source}: {kind}: {field}: {wrong[field]}" for field in sorted(wrong)]
        return
    where = f"{source}: {kind} {name or ''}".rstrip()
    if version != names.API_VERSION or kind not in _MODELS:
        known = ", ".join(_MODELS)
        mistakes.append(f"{where}: {version} {kind} isn't known: {names.API_VERSION} has {known}")
        return
    if not isinstance(meta, Mapping) or not isinstance(name, str) or not name:
        mistakes.append(f"{where}: metadata.name is missing")
        return
    home = str(meta.get("namespace") or namespace)
    wrong = checker.mistakes(kind, body)
    model, invalid = _model({**body, "metadata": {**meta, "namespace": home}}, _MODELS[kind])
    wrong = {**invalid, **wrong}
    mistakes += [f"{where}: {field}: {wrong[field]}" for field in sorted(wrong)]
    if wrong:
        return
    if kind in _NAMESPACED and (kind, home, name) in found.sources:
        mistakes.append(f"{where}: it is in {found.sources[(kind, home, name)]} already")
        return
    found.sources[(kind, home, name)] = source
    if isinstance(model, LiteLLMRoute):
        found.routes[(home, name)] = model
    elif isinstance(model, OpenClawAgent):
        found.agents[(home, name)] = model


def _model(body: Mapping[str, Any], model: type[M]) -> tuple[M | None, dict[str, str]]:
    """A resource as the operator reads it, or the mistakes that it finds, by field."""
    given = {key: value for key, value in body.items() if key != "status"}
    try:
        return model.model_validate(given), {}
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        return None, {path(each["loc"]): each["msg"].removeprefix("Value error, ") for each in found}


def _add_other(found: Manifests, source: Source, body: Mapping[str, Any], namespace: str, mistakes: list[str]) -> None:
    """Add a Namespace or a Service, on which the rendering of our resources depends; ignore other kinds."""
    kind, meta = body["kind"], body.get("metadata")
    if body.get("apiVersion") != "v1" or kind not in ("Namespace", "Service"):
        return
    if not isinstance(meta, Mapping) or not isinstance(meta.get("name"), str):
        return
    name, wrong = meta["name"], name_mistakes(meta)
    if kind == "Namespace":
        labels = meta.get("labels")
        if not wrong and not is_dns_label(name):
            wrong = {"metadata.name": "must be a DNS label"}
        found.namespaces[name] = dict(labels) if isinstance(labels, Mapping) else {}
    elif body.get("spec") is not None:
        service, invalid = _model({"spec": body["spec"]}, _Service)
        wrong = {**invalid, **wrong}
        if service:
            home = str(meta.get("namespace") or namespace)
            spec = service.spec.model_dump(by_alias=True, exclude_none=True)
            found.services[(home, name)] = {"metadata": {"name": name, "namespace": home}, "spec": spec}
    mistakes += [f"{source}: {kind}: {field}: {wrong[field]}" for field in sorted(wrong)]
