"""``litclaw render`` without a cluster: its input, its output, and its messages."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from litclaw.cli.main import app
from typer.testing import CliRunner, Result

ROOT = Path(__file__).resolve().parents[2]
ROUTE: dict[str, Any] = {
    "apiVersion": "litclaw.dev/v1alpha1",
    "kind": "LiteLLMRoute",
    "metadata": {"name": "main", "namespace": "ai"},
    "spec": {
        "managed": {"database": {"embedded": {"storage": "1Gi"}}},
        "models": [{"name": "gpt-4o", "litellmParams": {"model": "openai/gpt-4o"}}],
        "allowedNamespaces": {"from": "All"},
    },
}
AGENT: dict[str, Any] = {
    "apiVersion": "litclaw.dev/v1alpha1",
    "kind": "OpenClawAgent",
    "metadata": {"name": "scout", "namespace": "team-a"},
    "spec": {"routeRef": {"name": "main", "namespace": "ai"}},
}

SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "llm", "namespace": "ai"},
    "spec": {"selector": {"app": "llm"}, "ports": [{"port": 80, "targetPort": 4000}]},
}


def with_spec(body: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """The resource with other fields in its spec."""
    return {**body, "spec": {**body["spec"], **spec}}


def named(body: dict[str, Any], **meta: Any) -> dict[str, Any]:
    """The object with another name or namespace."""
    return {**body, "metadata": {**body.get("metadata", {}), **meta}}


def render(*bodies: dict[str, Any], args: tuple[str, ...] = ()) -> Result:
    """Render from standard input."""
    return CliRunner().invoke(app, ["render", "-f", "-", *args], input=yaml.safe_dump_all(bodies))


def objects(result: Result) -> dict[tuple[str, str], dict[str, Any]]:
    """The rendered objects, by kind and name."""
    assert result.exit_code == 0, result.output
    return {(body["kind"], body["metadata"]["name"]): body for body in yaml.safe_load_all(result.stdout)}


def test_every_example_is_rendered() -> None:
    """Each folder and file by itself, with the route that its agents name."""
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        if "kind: OpenClawAgent" in path.read_text():
            done = CliRunner().invoke(
                app, ["render", "-f", str(path), "-f", str(ROOT / "examples/quickstart/route.yaml")]
            )
            assert done.exit_code in (0, 1) and "---" in done.stdout, (path, done.output)
        elif "kind: LiteLLMRoute" in path.read_text():
            assert CliRunner().invoke(app, ["render", "-f", str(path)]).exit_code == 0, path
    quickstart = CliRunner().invoke(app, ["render", "-f", str(ROOT / "examples/quickstart")])
    assert quickstart.exit_code == 0
    kinds = {body["kind"] for body in yaml.safe_load_all(quickstart.stdout)}
    assert {"Secret", "ConfigMap", "Service", "Deployment", "StatefulSet", "Job", "NetworkPolicy"} <= kinds


def test_the_order_of_manifests_does_not_matter() -> None:
    """An agent may come before its route."""
    assert objects(render(AGENT, ROUTE)) == objects(render(ROUTE, AGENT))


def test_the_same_input_gives_the_same_bytes() -> None:
    """So that a diff in Git is a change."""
    assert render(ROUTE, AGENT).stdout == render(ROUTE, AGENT).stdout


def test_secret_values_are_placeholders() -> None:
    """A note on standard error explains them."""
    done = render(ROUTE, AGENT)
    made = objects(done)
    assert made["Secret", "main-master-key"]["stringData"] == {"LITELLM_MASTER_KEY": "MADE-UP-BY-THE-OPERATOR"}
    assert made["Secret", "scout-litellm"]["stringData"]["LITELLM_API_KEY"] == "MADE-UP-BY-THE-OPERATOR"
    assert "MADE-UP-BY-THE-OPERATOR stands for a secret value" in done.stderr


def test_the_proxys_own_data_is_missing_unless_it_is_given(tmp_path: Path) -> None:
    """A context window comes from the resource, else from the proxy's response at /model/info."""
    silent = render(ROUTE, AGENT)
    assert "--model-info adds it" in silent.stderr
    answer = {"model_name": "gpt-4o", "model_info": {"max_input_tokens": 128000, "input_cost_per_token": 2.5e-6}}
    path = tmp_path / "info.json"
    path.write_text(json.dumps({"data": [answer]}))
    informed = render(ROUTE, AGENT, args=("--model-info", str(path)))
    [model] = config(informed)["models"]["providers"]["litellm"]["models"]
    assert model["contextWindow"] == 128000 and model["cost"] == {"input": 2.5}
    assert "--model-info adds it" not in informed.stderr
    explicit = with_spec(ROUTE, models=[{**ROUTE["spec"]["models"][0], "openclaw": {"contextWindow": 1000}}])
    [model] = config(render(explicit, AGENT))["models"]["providers"]["litellm"]["models"]
    assert model["contextWindow"] == 1000


def config(result: Result) -> dict[str, Any]:
    """The agent's openclaw.json."""
    found: dict[str, Any] = json.loads(objects(result)["ConfigMap", "scout-openclaw"]["data"]["openclaw.json"])
    return found


def test_one_file_per_object_and_per_config(tmp_path: Path) -> None:
    """For review in Git."""
    done = render(ROUTE, AGENT, args=("--output-dir", str(tmp_path)))
    assert done.exit_code == 0 and done.stdout == ""
    made = objects(render(ROUTE, AGENT))
    text = made["ConfigMap", "main-litellm"]["data"]["config.yaml"]
    assert (tmp_path / "ai" / "main-litellm.config.yaml").read_text() == text
    text = made["ConfigMap", "scout-openclaw"]["data"]["openclaw.json"]
    assert (tmp_path / "team-a" / "scout-openclaw.openclaw.json").read_text() == text
    written = yaml.safe_load((tmp_path / "ai" / "deployment-main-litellm.yaml").read_text())
    assert written == made["Deployment", "main-litellm"]


@pytest.mark.parametrize(
    ("bodies", "message"),
    [
        ([AGENT], "RouteNotFound: LiteLLMRoute ai/main isn't among the manifests"),
        ([with_spec(ROUTE, allowedNamespaces={"from": "Same"}), AGENT], "NamespaceNotAllowed: LiteLLMRoute ai/main"),
        ([ROUTE, with_spec(AGENT, models=["nope"])], "ModelNotFound: LiteLLMRoute ai/main has no model 'nope'"),
        ([ROUTE, with_spec(AGENT, config={"openclawVersion": "2025.1.1"})], "OpenClawTooOld: OpenClaw 2025.1.1"),
        ([with_spec(ROUTE, generalSettings={"master_key": "x"})], "InvalidSettings: spec.generalSettings.master_key"),
        (
            [with_spec(ROUTE, external={"url": "http://x", "masterKeySecretRef": {"name": "a", "key": "b"}})],
            "InvalidSpec",
        ),
    ],
)
def test_a_resource_that_would_not_become_ready_is_status_1(bodies: list[dict[str, Any]], message: str) -> None:
    """With the operator's own reasons and messages."""
    done = render(*bodies)
    assert done.exit_code == 1 and f"wouldn't become ready: {message}" in done.stderr


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            with_spec(AGENT, colour="red"),
            "standard input, document 1: OpenClawAgent scout: spec.colour: there is no such",
        ),
        (with_spec(AGENT, models=["a", "a"]), "spec.models[1]: is there twice"),
        (with_spec(AGENT, routeRef={}), "spec.routeRef.name: is missing"),
        (with_spec(AGENT, suspend="yes, please"), "spec.suspend: must be boolean"),
        (with_spec(AGENT, key={"tpmLimit": -1}), "spec.key.tpmLimit: must be at least 0"),
        (with_spec(AGENT, key={"maxBudget": "much"}), "spec.key.maxBudget: must be"),
        (with_spec(AGENT, config={"allowPrivateNetwork": "Maybe"}), "must be one of Auto, Always, Never"),
        ({**AGENT, "apiVersion": "litclaw.dev/v9"}, "litclaw.dev/v9 OpenClawAgent isn't known"),
        ({**AGENT, "metadata": {}}, "metadata.name is missing"),
        ({"a": "b"}, "it isn't a Kubernetes object"),
        ({"apiVersion": "v1", "kind": "List", "items": 3}, "standard input, document 1: List: items: must be array"),
        (named(AGENT, name="../../x"), "document 1: OpenClawAgent: metadata.name: must be a DNS subdomain"),
        (named(AGENT, name="a/b"), "metadata.name: must be a DNS subdomain"),
        (named(AGENT, name=".."), "metadata.name: must be a DNS subdomain"),
        (named(AGENT, name="a" * 254), "metadata.name: must be a DNS subdomain"),
        (named(ROUTE, namespace="../.."), "document 1: LiteLLMRoute: metadata.namespace: must be a DNS label"),
        (named(ROUTE, namespace="/etc"), "metadata.namespace: must be a DNS label"),
        (named(ROUTE, namespace="a.b"), "metadata.namespace: must be a DNS label"),
        (named(ROUTE, namespace=3), "metadata.namespace: must be a DNS label"),
        (named(SERVICE, namespace="../x"), "document 1: Service: metadata.namespace: must be a DNS label"),
        (named({"apiVersion": "v1", "kind": "Namespace"}, name="a.b"), "Namespace: metadata.name: must be a DNS label"),
        (with_spec(SERVICE, ports=3), "document 1: Service: spec.ports: Input should be a valid list"),
        (with_spec(SERVICE, ports=[{"name": "http"}]), "document 1: Service: spec.ports[0].port: Field required"),
        (with_spec(SERVICE, selector="app"), "document 1: Service: spec.selector: Input should be a valid dictionary"),
    ],
)
def test_bad_input_names_document_and_field_with_status_2(body: dict[str, Any], message: str) -> None:
    """And nothing is rendered."""
    done = render(body)
    assert done.exit_code == 2 and message in done.stderr and done.stdout == ""


def test_all_mistakes_are_reported_without_values() -> None:
    """A manifest may contain a secret in the wrong place."""
    wrong = with_spec(AGENT, key={"alias": 3, "metadata": "sk-secret"}, gateway={"env": [{"value": "sk-secret"}]})
    done = render(wrong, {**ROUTE, "spec": {"models": "sk-secret"}})
    assert done.exit_code == 2
    for field in (
        "spec.key.alias",
        "spec.key.metadata",
        "spec.gateway.env[0].name",
        "document 2: LiteLLMRoute main: spec.models",
    ):
        assert field in done.stderr
    assert "sk-secret" not in done.output


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """The message names each, and the line of invalid YAML."""
    (tmp_path / "a.yaml").write_text("kind: {\n")
    (tmp_path / "empty").mkdir()
    done = CliRunner().invoke(
        app, ["render", "-f", str(tmp_path / "a.yaml"), "-f", str(tmp_path / "b.yaml"), "-f", str(tmp_path / "empty")]
    )
    assert done.exit_code == 2
    assert f"{tmp_path}/a.yaml, line 2: it isn't YAML" in done.stderr
    assert f"{tmp_path}/b.yaml: No such file or directory" in done.stderr
    assert f"{tmp_path}/empty: no .yaml" in done.stderr


def test_other_kinds_are_ignored_except_namespaces() -> None:
    """A route that selects namespaces by label is matched with the labels of the given Namespaces."""
    choosy = with_spec(ROUTE, allowedNamespaces={"from": "Selector", "selector": {"matchLabels": {"llm": "yes"}}})
    unknown = render(choosy, AGENT)
    assert unknown.exit_code == 0 and "depends on its labels" in unknown.stderr
    home: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a", "labels": {}}}
    assert render(home, choosy, AGENT).exit_code == 1
    home["metadata"]["labels"] = {"llm": "yes"}
    assert ("ConfigMap", "scout-openclaw") in objects(render(home, choosy, AGENT))


def test_an_external_route_needs_a_list_of_models() -> None:
    """No object is rendered for the route itself. The proxy's pods and port come from its Service, if that is given."""
    ref = {"name": "a", "key": "b"}
    route = {**ROUTE, "spec": {"external": {"url": "http://llm.ai.svc:80/v1", "masterKeySecretRef": ref}}}
    route["spec"]["allowedNamespaces"] = {"from": "All"}
    done = render(route, AGENT)
    assert done.exit_code == 1 and "NoModels" in done.stderr
    known = with_spec(route, models=[{"name": "gpt-4o"}])
    with_gateway = with_spec(AGENT, gateway={})
    made = objects(render(known, SERVICE, with_gateway))
    assert {kind for kind, _ in made} == {
        "Secret", "ConfigMap", "PersistentVolumeClaim", "Service", "Deployment", "NetworkPolicy",
    }  # fmt: skip
    rule = made["NetworkPolicy", "scout-openclaw"]["spec"]["egress"][1]
    assert rule["ports"] == [{"protocol": "TCP", "port": 4000}]
    assert rule["to"][0]["podSelector"] == {"matchLabels": {"app": "llm"}}
    assert "add its manifest to see them" in render(known, with_gateway).stderr
    null = with_spec(SERVICE, ports=None)
    rule = objects(render(known, null, with_gateway))["NetworkPolicy", "scout-openclaw"]["spec"]["egress"][1]
    assert rule["ports"] == [{"protocol": "TCP", "port": 80}]


def test_names_of_other_kinds_are_not_checked() -> None:
    """RBAC's have colons, and Knative's Service has no ports."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "system:a"}}
    knative = {**with_spec(SERVICE, ports=3), "apiVersion": "serving.knative.dev/v1"}
    assert objects(render(role, knative, ROUTE)) == objects(render(ROUTE))


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    """Neither with a name, nor with -n, nor through a link in the folder."""
    out = tmp_path / "a" / "b"
    for bad in (named(ROUTE, name="../../../x"), named(ROUTE, namespace="../..")):
        assert render(bad, args=("--output-dir", str(out))).exit_code == 2
    without = {**ROUTE, "metadata": {"name": "main"}}
    done = render(without, args=("--output-dir", str(out), "-n", "../../x"))
    assert done.exit_code == 2 and "--namespace '../../x' isn't a namespace's name" in done.stderr
    assert list(tmp_path.iterdir()) == []
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out.mkdir(parents=True)
    (out / "ai").symlink_to(elsewhere)
    done = render(ROUTE, args=("--output-dir", str(out)))
    assert done.exit_code == 2 and f"leads out of {out}" in done.stderr and list(elsewhere.iterdir()) == []


def test_other_files_of_a_folder_are_left_out_with_a_note(tmp_path: Path) -> None:
    """A file that is named itself has to be a manifest."""
    (tmp_path / "route.yaml").write_text(yaml.safe_dump(ROUTE))
    for name, text in (
        ("values.yaml", "replicas: 3"),
        ("kustomization.yaml", "resources: [route.yaml]"),
        ("a.json", "[1]"),
    ):
        (tmp_path / name).write_text(text)
    done = CliRunner().invoke(app, ["render", "-f", str(tmp_path)])
    assert objects(done) == objects(render(ROUTE))
    for name in ("values.yaml", "kustomization.yaml", "a.json"):
        note = f"note: {tmp_path / name}, document 1 is left out: it has neither apiVersion nor kind."
        assert note in done.stderr
        done_ = CliRunner().invoke(app, ["render", "-f", str(tmp_path / name)])
        assert done_.exit_code == 2 and "kind is missing" in done_.stderr
    (tmp_path / "half.yaml").write_text("apiVersion: litclaw.dev/v1alpha1")
    done = CliRunner().invoke(app, ["render", "-f", str(tmp_path)])
    assert done.exit_code == 2 and f"{tmp_path}/half.yaml, document 1: it isn't a Kubernetes object" in done.stderr
