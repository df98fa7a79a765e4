"""``litclaw rotate``: makes a LiteLLMKeyRotation, or asks for single agents' new keys. The operator does the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from litclaw.api import names
from litclaw.api.duration import seconds
from litclaw.api.rotation import DEFAULT_GRACE, ROTATION_KIND, RotationSpec
from litclaw.cli import completion, output, rotate_agents, rotate_wait
from litclaw.cli.checks.check import objects
from litclaw.cli.checks.operator import OPERATOR_LABELS, Found
from litclaw.cli.cluster import ContextOption, KubeconfigOption, Target, ask, current_namespace
from litclaw.cli.output import EXITS, Exit, Fault, Form, FormOption, age, plural, table
from litclaw.cli.view import Body, moment, now, route_of, title
from litclaw.kube.client import Kube
from litclaw.kube.errors import ConflictError, InvalidError, KubeError
from litclaw.kube.resources import AGENT, DEPLOYMENT, ROUTE

FIELD_MANAGER = f"{names.FIELD_MANAGER}-cli"
_NAMESPACE_NAME = "kubernetes.io/metadata.name"
_NOTHING = "Say which: --all, --namespace, --selector or --route, or name agents."


@dataclass(frozen=True, slots=True)
class Wanted:
    """A rotation that is asked for.

    Attributes:
        name: of the resource.
        spec: as the API server gets it, and as it is read.
    """

    name: str
    spec: dict[str, Any]
    read: RotationSpec

    def manifest(self) -> dict[str, Any]:
        """The resource."""
        return {
            "apiVersion": names.API_VERSION,
            "kind": ROTATION_KIND,
            "metadata": {"name": self.name},
            "spec": self.spec,
        }

    @property
    def namespace(self) -> str | None:
        """The only namespace whose agents are meant; None: all."""
        return self.read.namespace_selector.match_labels.get(_NAMESPACE_NAME)

    @property
    def labels(self) -> str:
        """The label selector."""
        return ",".join(f"{key}={value}" for key, value in self.read.selector.match_labels.items())


def rotate(
    agents: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAMESPACE/]NAME",
            help="Single agents, instead of a selection: each is asked for by its annotation litclaw.dev/rotate.",
            autocompletion=completion.agents,
            show_default=False,
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every agent of the cluster.")] = False,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="The agents of this namespace.", autocompletion=completion.namespaces),
    ] = None,
    selector: Annotated[
        str | None, typer.Option("--selector", "-l", help="The agents with these labels, such as team=research,tier=1.")
    ] = None,
    route: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME", help="The agents that use this route.", autocompletion=completion.routes
        ),
    ] = None,
    what: Annotated[
        list[str] | None,
        typer.Option(help="VirtualKeys (by default), MasterKeys, or both by naming it twice.", show_default=False),
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option(help=f"How long old keys live on; 0s for a leak. Left out: {DEFAULT_GRACE}.", show_default=False),
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How many keys are worked on at a time. Left out: 10.")
    ] = None,
    stop_after_failures: Annotated[
        int | None, typer.Option(min=0, help="How many failures stop it; 0: none do. Left out: 5.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the LiteLLMKeyRotation. Left out: rotate- and the time.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be rotated, and make nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait, and show how far it is.")] = False,
    until: Annotated[
        rotate_wait.Until,
        typer.Option(help="rotated: new keys are in use. completed: old ones are refused too, after the grace period."),
    ] = rotate_wait.Until.COMPLETED,
    timeout: Annotated[str | None, typer.Option(help="How long to wait, such as 30m. Left out: for good.")] = None,
    attach: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Wait for a rotation that there is already.", autocompletion=completion.rotations
        ),
    ] = None,
    form: FormOption = Form.TABLE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """New keys for agents, without a failed request: all of them, some, or single ones."""
    target = Target(kubeconfig, context)
    patience = rotate_wait.Patience(until, _seconds(timeout))
    given: dict[str, Any] = {
        "--all": all_,
        "--selector": selector,
        "--route": route,
        "--what": what,
        "--grace": grace,
        "--max-concurrent": max_concurrent,
        "--stop-after-failures": stop_after_failures,
        "--name": name,
    }
    _refuse_empty({"--namespace": namespace, "--selector": selector, "--route": route, "--attach": attach})
    if attach:
        _refuse_with("--attach", {**given, "--namespace": namespace, "--dry-run": dry_run, "names of agents": agents})
        rotate_wait.wait_for(target, attach, patience, form)
        return
    if agents:
        _refuse_with("names of agents", given)
        home = namespace or current_namespace(target)
        keys = [completion.split(text, home) for text in agents]
        rotate_agents.rotate_agents(target, keys, patience if wait else None, form, FIELD_MANAGER, dry_run=dry_run)
        return
    wanted = _wanted(given, namespace)
    if dry_run:
        _show(wanted, ask(target, lambda kube: _would_be(kube, wanted)), form)
        return
    found, made = ask(target, lambda kube: _make(kube, wanted))
    output.tell(f"{ROTATION_KIND} {wanted.name} is made: {_count(found)}.")
    if wait:
        rotate_wait.wait_for(target, wanted.name, patience, form)
    elif form is Form.TABLE:
        output.tell(
            f"See how far it is: `litclaw rotate --attach {wanted.name}`, or `kubectl get llkr {wanted.name} -w`."
        )
    else:
        output.data(made, form)


rotate.__doc__ = f"{rotate.__doc__}\n\n{EXITS}"


def _seconds(span: str | None) -> float | None:
    if span is None:
        return None
    try:
        return float(seconds(span))
    except (ValueError, KeyError, IndexError):
        raise Fault(f"--timeout {span} isn't a length of time", "Write it like 90s, 30m or 2h.", Exit.USAGE) from None


def _refuse_with(what: str, given: dict[str, Any]) -> None:
    if too_much := [option for option, value in given.items() if value not in (None, False, [])]:
        raise Fault(f"{what} and {too_much[0]} exclude each other", "Leave one of them out.", Exit.USAGE)


def _refuse_empty(given: dict[str, str | None]) -> None:
    """A shell's variable that isn't set would select more than is meant."""
    if empty := [option for option, value in given.items() if value is not None and not value.strip()]:
        raise Fault(f"{empty[0]} is empty", "Is a variable not set? Give it a value, or leave it out.", Exit.USAGE)


def _wanted(given: dict[str, Any], namespace: str | None) -> Wanted:
    """The rotation that the options ask for.

    Raises:
        Fault: they ask for none, or for one that can't be.
    """
    narrowed = [given["--selector"], given["--route"], namespace]
    if not given["--all"] and not any(narrowed):
        raise Fault("nothing says which keys are to be rotated", _NOTHING, Exit.USAGE)
    if given["--all"] and any(narrowed):
        raise Fault("--all means every agent of the cluster", "Leave --all out, or the other selection.", Exit.USAGE)
    spec: dict[str, Any] = {}
    if given["--selector"]:
        if "MasterKeys" in (given["--what"] or []):
            message = "--selector is for agents, and would not narrow which master keys are rotated"
            remedy = "Say with --namespace or --route which master keys, and rotate agents' keys by another rotation."
            raise Fault(message, remedy, Exit.USAGE)
        spec["selector"] = {"matchLabels": _labels(given["--selector"])}
    if namespace:
        spec["namespaceSelector"] = {"matchLabels": {_NAMESPACE_NAME: namespace}}
    if given["--route"]:
        where, _, route = given["--route"].partition("/")
        if not route:
            raise Fault(f"--route {where} isn't namespace/name", f"Write it like ai/{where}.", Exit.USAGE)
        spec["routeRef"] = {"name": route, "namespace": where}
    fields = {
        "what": given["--what"],
        "gracePeriod": given["--grace"],
        "maxConcurrent": given["--max-concurrent"],
        "stopAfterFailures": given["--stop-after-failures"],
    }
    spec |= {field: value for field, value in fields.items() if value not in (None, [])}
    try:
        read = RotationSpec.model_validate(spec)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where} {first['input']!r}: {first['msg'].removeprefix('Value error, ')}"
        raise Fault(message, "`litclaw rotate --help` says what can be given.", Exit.USAGE) from None
    return Wanted(given["--name"] or f"rotate-{now():%Y%m%d-%H%M%S}", spec, read)


def _labels(selector: str) -> dict[str, str]:
    """A selector as labels.

    Raises:
        Fault: it says more than that labels have values, which a rotation can't.
    """
    found: dict[str, str] = {}
    for part in selector.split(","):
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.removeprefix("=").strip()
        if not equals or not key or key.endswith("!") or not value or "=" in value:
            message = f"--selector {part!r} isn't label=value"
            raise Fault(
                message, "A rotation selects by labels and their values only: team=research,tier=1.", Exit.USAGE
            )
        if key in found:
            message = f"--selector names {key} twice"
            raise Fault(message, "A label has one value: make a rotation a value, or name agents.", Exit.USAGE)
        found[key] = value
    return found


@dataclass(frozen=True, slots=True)
class Selected:
    """What a rotation is about, as far as it can be seen."""

    agents: Sequence[Body]
    routes: Sequence[Body]


async def selected(kube: Kube, wanted: Wanted) -> Selected:
    """The agents and, for master keys, the routes that a rotation selects now."""
    ref = wanted.read.route_ref
    route = (ref.namespace, ref.name) if ref else None
    agents: list[dict[str, Any]] = []
    routes: list[dict[str, Any]] = []
    if "VirtualKeys" in wanted.read.what:
        agents = await kube.objects(AGENT, wanted.namespace, labels=wanted.labels)
        agents = [body for body in agents if _has_key(body) and (route is None or route_of(body) == route)]
    if "MasterKeys" in wanted.read.what:
        routes = await kube.objects(ROUTE, wanted.namespace)
        # An external proxy's master key isn't the operator's; where its route is named, the rotation says so.
        routes = [body for body in routes if (_key(body) == route if route else "managed" in body["spec"])]
    return Selected(sorted(agents, key=_key), sorted(routes, key=_key))


def _key(body: Body) -> tuple[str, str]:
    return (body["metadata"]["namespace"], body["metadata"]["name"])


def _has_key(agent: Body) -> bool:
    """Whether there is something to rotate: a key that an agent is yet to get is new anyway."""
    status = agent.get("status") or {}
    return "deletionTimestamp" not in agent["metadata"] and bool((status.get("key") or {}).get("hash"))


def _is_owners(route: Body) -> bool:
    """Whether a route's master key is its owner's to change."""
    return "masterKeySecretRef" in route["spec"].get("managed", {"masterKeySecretRef": None})


def _count(found: Selected | None) -> str:
    if found is None:
        return "how many keys that are, you aren't allowed to see"
    parts = [plural(len(found.agents), "agent")] if found.agents else []
    parts += [plural(len(found.routes), "master key")] if found.routes else []
    return " and ".join(parts)


async def _refuse_unserved(kube: Kube) -> None:
    """An operator of some namespaces doesn't watch rotations, which are the whole cluster's."""
    seen = await objects(kube, DEPLOYMENT, labels=OPERATOR_LABELS)
    operators = [] if isinstance(seen, str) else [Found(body) for body in seen]
    if not operators or not all(found.namespaces for found in operators):
        return  # or we mustn't see
    where = f"Deployment {operators[0].namespace}/{operators[0].name}"
    message = (
        f"nobody would do a {ROTATION_KIND}: the operator ({where}) acts in some namespaces only "
        f"(--namespaces {','.join(operators[0].namespaces)}), where it doesn't watch rotations"
    )
    remedy = (
        f"Name agents instead, which asks by their annotation {names.ANNOTATION_ROTATE}: litclaw rotate team-a/scout."
    )
    raise Fault(message, remedy)


async def _would_be(kube: Kube, wanted: Wanted) -> Selected:
    await _refuse_unserved(kube)
    return await selected(kube, wanted)


async def _make(kube: Kube, wanted: Wanted) -> tuple[Selected | None, dict[str, Any]]:
    await _refuse_unserved(kube)
    found: Selected | None = None
    try:
        found = await selected(kube, wanted)
    except KubeError as error:
        if error.status != 403:
            raise
    if found and not (found.agents or found.routes):
        raise Fault("nothing is selected, so no rotation is made", "`litclaw status -A` shows what there is.")
    try:
        return found, await kube.create(wanted.manifest(), manager=FIELD_MANAGER)
    except ConflictError:
        message = f"there is a {ROTATION_KIND} {wanted.name} already"
        remedy = f"Wait for it with `litclaw rotate --attach {wanted.name}`, or choose another --name."
        raise Fault(message, remedy) from None
    except InvalidError as error:
        if error.status == 403:
            raise
        raise Fault(f"the API server refuses the rotation: {error.message}", "", Exit.USAGE) from None


def _show(wanted: Wanted, found: Selected, form: Form) -> None:
    if form is not Form.TABLE:
        value = {"rotation": wanted.manifest(), "agents": [title(body) for body in found.agents]}
        output.data({**value, "routes": [title(body) for body in found.routes]}, form)
        return
    at = now()
    if found.agents:
        rows = [[title(body), "/".join(route_of(body)), _key_age(body, at)] for body in found.agents]
        output.show(output.console(), table(["AGENT", "ROUTE", "KEY AGE"], rows, right=["KEY AGE"]))
    if found.routes:
        rows = [[title(body), "refused: it is its owner's" if _is_owners(body) else ""] for body in found.routes]
        output.show(output.console(), table(["MASTER KEY OF ROUTE", ""], rows))
    what = _count(found) or "nothing"
    output.tell(f"Nothing is made: {what} would be rotated, old keys living on for {wanted.read.grace_period}.")


def _key_age(body: Body, at: Any) -> str:
    made = moment(((body.get("status") or {}).get("key") or {}).get("rotatedAt"))
    return age((at - made).total_seconds()) if made else "-"
