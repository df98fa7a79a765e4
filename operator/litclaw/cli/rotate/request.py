"""The LiteLLMKeyRotation that the options of `litclaw rotate` ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from litclaw.api import names
from litclaw.api.duration import seconds
from litclaw.api.rotation import RotationSpec
from litclaw.cli.errors import CommandError, Exit
from litclaw.cli.view import now

_NAMESPACE_NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class RotationRequest:
    """A rotation to create.

    Attributes:
        name: the resource's name.
        spec: its spec, as sent to the API server.
        parsed: the same spec with defaults.
    """

    name: str
    spec: dict[str, Any]
    parsed: RotationSpec

    def manifest(self) -> dict[str, Any]:
        """The resource."""
        return {
            "apiVersion": names.API_VERSION,
            "kind": names.ROTATION_KIND,
            "metadata": {"name": self.name},
            "spec": self.spec,
        }

    @property
    def namespace(self) -> str | None:
        """The only namespace of the selected agents; None: all."""
        return self.parsed.namespace_selector.match_labels.get(_NAMESPACE_NAME)

    @property
    def labels(self) -> str:
        """The label selector of the agents."""
        return ",".join(f"{key}={value}" for key, value in self.parsed.selector.match_labels.items())


def request_of(options: Mapping[str, Any], namespace: str | None) -> RotationRequest:
    """The rotation for the options of the command, by their names.

    Raises:
        CommandError: the options select nothing, contradict each other, or are invalid.
    """
    narrowed = [options["--selector"], options["--route"], namespace]
    if not options["--all"] and not any(narrowed):
        remedy = "Use --all, --namespace, --selector or --route, or name agents."
        raise CommandError("nothing selects the keys to rotate", remedy, Exit.USAGE)
    if options["--all"] and any(narrowed):
        remedy = "Remove --all, or the other selection."
        raise CommandError("--all means every agent of the cluster", remedy, Exit.USAGE)
    spec = {**_selection(options, namespace), **_settings(options)}
    try:
        parsed = RotationSpec.model_validate(spec)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where} {first['input']!r}: {first['msg'].removeprefix('Value error, ')}"
        raise CommandError(message, "`litclaw rotate --help` lists the options.", Exit.USAGE) from None
    return RotationRequest(options["--name"] or f"rotate-{now():%Y%m%d-%H%M%S}", spec, parsed)


def _selection(options: Mapping[str, Any], namespace: str | None) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if options["--selector"]:
        if "MasterKeys" in (options["--what"] or []):
            message = "--selector is for agents, and would not narrow which master keys are rotated"
            remedy = "Select master keys with --namespace or --route, and rotate agents' keys with another rotation."
            raise CommandError(message, remedy, Exit.USAGE)
        spec["selector"] = {"matchLabels": _labels(options["--selector"])}
    if namespace:
        spec["namespaceSelector"] = {"matchLabels": {_NAMESPACE_NAME: namespace}}
    if options["--route"]:
        where, _, route = options["--route"].partition("/")
        if not route:
            raise CommandError(f"--route {where} isn't namespace/name", f"Write it like ai/{where}.", Exit.USAGE)
        spec["routeRef"] = {"name": route, "namespace": where}
    return spec


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    fields = {
        "what": options["--what"],
        "gracePeriod": options["--grace"],
        "maxConcurrent": options["--max-concurrent"],
        "stopAfterFailures": options["--stop-after-failures"],
    }
    return {field: value for field, value in fields.items() if value not in (None, [])}


def _labels(selector: str) -> dict[str, str]:
    """The labels of a selector.

    Raises:
        CommandError: it has other requirements than equality, which a rotation doesn't support.
    """
    found: dict[str, str] = {}
    for part in selector.split(","):
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.removeprefix("=").strip()
        if not equals or not key or key.endswith("!") or not value or "=" in value:
            remedy = "A rotation selects by labels and their values only: team=research,tier=1."
            raise CommandError(f"--selector {part!r} isn't label=value", remedy, Exit.USAGE)
        if key in found:
            remedy = "A label has one value: create one rotation per value, or name agents."
            raise CommandError(f"--selector names {key} twice", remedy, Exit.USAGE)
        found[key] = value
    return found


def seconds_of(timeout: str) -> float:
    """``--timeout`` in seconds.

    Raises:
        CommandError: it isn't a duration.
    """
    try:
        return float(seconds(timeout))
    except (ValueError, KeyError, IndexError):
        raise CommandError(
            f"--timeout {timeout} isn't a duration", "Write it like 90s, 30m or 2h.", Exit.USAGE
        ) from None
