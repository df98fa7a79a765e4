"""Manifests from files: read as kubectl reads them, and checked as the API server would, as far as that needs no CEL.

A message names file, document and field, and never a value: a manifest may hold a secret.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ..api import names
from ..api.agent import AGENT_KIND, OpenClawAgent
from ..api.rotation import ROTATION_KIND, LiteLLMKeyRotation
from ..api.route import ROUTE_KIND, LiteLLMRoute
from .schema import Checker, path

_SUFFIXES: Final = (".yaml", ".yml", ".json")
_MODELS: Final[dict[str, type[BaseModel]]] = {
    ROUTE_KIND: LiteLLMRoute,
    AGENT_KIND: OpenClawAgent,
    ROTATION_KIND: LiteLLMKeyRotation,
}
_NAMESPACED: Final = (ROUTE_KIND, AGENT_KIND)
M = TypeVar("M", bound=BaseModel)


class BadInputError(Exception):
    """Something can't be read. ``args``: a line a mistake."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a manifest is written."""

    file: str
    document: int

    def __str__(self) -> str:
        return f"{self.file}, document {self.document}"


@dataclass(slots=True)
class Manifests:
    """What was read, in the order in which it was.

    Attributes:
        namespaces: the labels of namespaces that are among the manifests.
        services: Services by namespace and name.
        sources: where each of ours is written, by kind, namespace and name.
    """

    routes: dict[tuple[str, str], LiteLLMRoute] = field(default_factory=dict)
    agents: dict[tuple[str, str], OpenClawAgent] = field(default_factory=dict)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    services: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    sources: dict[tuple[str, str, str], Source] = field(default_factory=dict)
    other: int = 0


class _Loader(yaml.SafeLoader):
    """As Kubernetes reads YAML: what looks like a time is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(paths: Iterable[str], stdin: TextIO, namespace: str) -> Manifests:
    """Read files, folders with all below them, and ``-`` for standard input.

    Args:
        namespace: of what names none.

    Raises:
        BadInputError: with every mistake that was found.
    """
    found, mistakes, checker = Manifests(), list[str](), Checker()
    for file, text in _texts(paths, stdin, mistakes):
        for number, document in enumerate(_documents(file, text, mistakes), 1):
            for body in _items(document):
                _take(found, Source(file, number), body, namespace, checker, mistakes)
    if mistakes:
        raise BadInputError(*mistakes)
    return found


def _texts(paths: Iterable[str], stdin: TextIO, mistakes: list[str]) -> Iterator[tuple[str, str]]:
    for given in paths:
        if given == "-":
            yield "standard input", stdin.read()
            continue
        top = Path(given)
        files = sorted(p for p in top.rglob("*") if p.suffix in _SUFFIXES and p.is_file()) if top.is_dir() else [top]
        if not files:
            mistakes.append(f"{top}: no .yaml, .yml or .json below it")
        for file in files:
            try:
                yield str(file), file.read_text(encoding="utf-8")
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


def _items(document: Any) -> Iterator[Any]:
    if isinstance(document, Mapping) and document.get("kind") == "List":
        yield from document.get("items") or []
    elif document is not None:
        yield document


def _take(found: Manifests, source: Source, body: Any, namespace: str, checker: Checker, mistakes: list[str]) -> None:
    if not isinstance(body, Mapping) or not isinstance(body.get("kind"), str):
        mistakes.append(f"{source}: it isn't a Kubernetes object: kind is missing")
        return
    kind, version = body["kind"], str(body.get("apiVersion") or "")
    meta = body.get("metadata")
    name = meta.get("name") if isinstance(meta, Mapping) else None
    if not version.startswith(f"{names.GROUP}/"):
        _take_other(found, body, kind, name, namespace)
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
    model, unread = _model({**body, "metadata": {**meta, "namespace": home}}, _MODELS[kind])
    wrong = {**unread, **wrong}
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
    """A resource as the operator reads it, or what it can't read, by field."""
    given = {key: value for key, value in body.items() if key != "status"}
    try:
        return model.model_validate(given), {}
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        return None, {path(each["loc"]): each["msg"].removeprefix("Value error, ") for each in found}


def _take_other(found: Manifests, body: Mapping[str, Any], kind: str, name: Any, namespace: str) -> None:
    found.other += 1
    if not isinstance(name, str):
        return
    meta = body["metadata"]
    if kind == "Namespace":
        labels = meta.get("labels")
        found.namespaces[name] = dict(labels) if isinstance(labels, Mapping) else {}
    elif kind == "Service" and isinstance(body.get("spec"), Mapping):
        home = str(meta.get("namespace") or namespace)
        found.services[(home, name)] = {**body, "metadata": {**meta, "namespace": home}}
