"""Specs with a good, a boundary or an absurd value in one field, for each field of the CRDs' schemas.

The values follow from a field's type and bounds, so a new field is covered as soon as it is in the schema. Each pattern
has its samples here; a new pattern without samples fails.
"""

import copy
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from litclaw.api.crd import custom_resource_definitions

Schema = dict[str, Any]
Path = tuple[str, ...]
"""Names of fields; ``[]`` is the first item of a list, ``{}`` the value of the only entry of a map."""

_PLAIN: Final = ("ordinary", "b-2")
_PATTERNS: Final[dict[str, tuple[str, ...]]] = {
    r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$": ("yes", "", "A_.z"),
    r"^[-._a-zA-Z][-._a-zA-Z0-9]*$": ("EXTRA", "a.b-c", "-"),
    r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$": ("odd", "0", "a..b", "1.2"),
    r"^[-._a-zA-Z0-9]+$": ("KEY", "..", ".", "-"),
    r"^([-._a-zA-Z][-._a-zA-Z0-9]*)?$": ("MY_", ""),
    r"^[a-zA-Z0-9][-a-zA-Z0-9._:/@]*$": ("registry.example.com/x:1", "a", "a:@/", "X//y::z", "a@sha256:0", "UPPER"),
    r"^([1-9][0-9]*([.][0-9]+)?|0[.]0*[1-9][0-9]*)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$": (
        "10Gi",
        "1",
        "0.0000000000001Ki",
        "9999999999999999999",
        "99999999999999999Pi",
        "1.5",
    ),
    r"^(100|[1-9]?[0-9])%$": ("50%", "0%", "100%"),
    r"^https?://[^/?#@\s]+(/[^?#@\s]*)?$": (
        "http://nowhere.invalid",
        "http://127.0.0.1:1/v1/",
        "https://[::1]:65535",
        "http://10.200.0.1:65536",
        "http://h:",
        "http://%00",
        "http://xn--",
        f"http://{'a' * 64}.example",
        "http://a..b",
        "http://\u00a0",
        "http://2130706433",
        "http://0x7f.1:4000/%2e%2e/x",
    ),
    r"^[!-~]+( [!-~]+)*$": ("gpt-4o", "*", "~", "a b", "openai/*", "{}", "'\"`\\", "%s%n", "null"),
    r"^[0-9]{1,9}([.][0-9]{1,6})?$": ("50", "0", "0.000001", "999999999.999999", "000000001"),
    r"^(daily|weekly|monthly|[1-9][0-9]{0,4}(s|m|h|d|w|mo))$": (
        "monthly",
        "daily",
        "weekly",
        "1s",
        "1mo",
        "99999mo",
        "99999w",
        "99999d",
    ),
    r"^(0s|[1-9][0-9]{0,5}(s|m|h))$": ("168h", "0s", "1m", "1s", "999999h"),
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": ("odd", "0"),
    r"^[1-9][0-9]{0,8}(ms|s|m|h)$": ("180s", "1ms", "999999999h"),
    r"^[0-9]{4}[.][0-9]{1,2}[.][0-9]{1,3}(-[0-9A-Za-z.]+)?$": (
        "2026.9.6",
        "0000.0.0",
        "9999.99.999",
        "2026.4.1-beta.1",
        "2026.9.6-..",
    ),
    r"^[^\x00]*$": ("research", "é🦊", " "),
    r"^([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$": (
        "100m",
        "0",
        ".5",
        "1.",
        "1n",
        "9999999999999999E",
        "1e99",
        "1e-99",
        "1E",
    ),
}
"""Values that match each pattern: an ordinary one first, then edge cases."""

_ABSURD: Final = (
    ("empty", ""),
    ("blank", " "),
    ("a NUL", "a\u0000b"),
    ("two lines", "a\nb"),
    ("a trailing newline", "a\n"),
    ("an escape sequence", "\u001b[2J"),
    ("not of ASCII", "é\u202e🦊"),
    ("beyond Unicode", "\ufffe\uffff"),
    ("a path", "../../etc/passwd"),
    ("a reference", "os.environ/LITELLM_MASTER_KEY"),
    ("an expansion", "$(LITELLM_MASTER_KEY)${HOME}"),
    ("a template", "{{ .Values.x }}%s%n{0}"),
    ("markup", "<b>'\";--"),
    ("a number", "-1e400"),
    ("an endless number", "1e999999999999"),
)
_DEEP: Final = 70
_FREE: Final = (
    ("nothing", {}),
    ("ordinary", {"note": "yes"}),
    ("of every type", {"a": [1, -1.5, True, None, "x", {}, []], "": "", "b": {"c": None}}),
    ("big numbers", {"i": 2**63 - 1, "n": -(2**63), "f": 1e308, "s": 5e-324, "z": -0.0}),
    ("a NUL", {"a\u0000": "b\u0000"}),
    ("not of ASCII", {"é\u202e": "🦊\ufffe"}),
    ("long", {"x" * 1000: "y" * 200_000}),
    ("many", {f"k{number}": number for number in range(2000)}),
    ("deep", None),
    ("deeper", None),
    ("odd names", {"a.b": 1, "../c": 2, "__proto__": {"x": 1}, "$ref": "#/", "litclaw.dev/digest": "x"}),
)
_OWN_WORDS: Final[dict[str, dict[str, Any]]] = {
    "generalSettings": {"alerting": 5, "master_keys": ["x"], "proxy_batch_write_at": "soon"},
    "litellmSettings": {"callbacks": {"prometheus": 1}, "cache": "maybe", "success_callback": [None, 1]},
    "routerSettings": {"model_group_alias": [["a"], {}], "routing_strategy": [], "num_retries": "x"},
    "modelInfo": {
        "id": 5,
        "mode": [],
        "input_cost_per_token": "free",
        "max_tokens": {},
        "output_cost_per_token": 1e300,
    },
    "fallbacks[].model": "gpt-4o",
    "fallbacks[].to": ["claude-opus-4-6"],
    "fallbacks[].to[]": "claude-opus-4-6",
    "valueFrom": {"configMapKeyRef": {"name": "channels", "key": "CHANNEL"}},
    "database": {"secretRef": {"name": "odd-db", "key": "URL"}},
    "selector": {"matchLabels": {"team": "x"}},
    "litellmParams": {"model": "openai/x", "api_base": 7, "mock_response": {"a": 1}, "rpm": "x", "tpm": -1},
    "affinity": {"nodeAffinity": "near", "podAffinity": [], "unknown": {}},
    "egress[]": {"to": "anywhere", "ports": [{"port": 0}, {"port": "x" * 64}]},
    "metadata": {"model_rpm_limit": {"a": 1}, "litclaw ": 1, "spend": -1, "user_id": "x", "key": "sk-x"},
    "extra": {"models": [], "agents": 5, "gateway": "off", "secrets": None, "env": {"vars": []}},
    "topologySpreadConstraints[]": {
        "topologyKey": "///",
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": 5,
    },
}
"""Values of free-form objects that may break the code that reads them."""
_TOO_LARGE: Final[dict[str, dict[str, Any]]] = {
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 2**31, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}
            ]
        }
    },
    "egress[]": {"ports": [{"port": 2**31}]},
    "topologySpreadConstraints[]": {
        "topologyKey": "kubernetes.io/hostname",
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "minDomains": 2**31,
    },
}
"""Numbers beyond 32 bits, in fields that the API server reads: some it changes, some it answers with 500."""

_LEAST: Final[dict[str, Any]] = {
    "env[]": {"name": "EXTRA", "value": "x"},
    "envFrom[]": {"configMapRef": {"name": "channels"}},
    "tolerations[]": {"operator": "Exists"},
    "fallbacks[]": {"model": "gpt-4o", "to": ["claude-opus-4-6"]},
    "fallbacks[].model": "gpt-4o",
    "fallbacks[].to": ["claude-opus-4-6"],
    "fallbacks[].to[]": "claude-opus-4-6",
    "valueFrom": {"configMapKeyRef": {"name": "channels", "key": "CHANNEL"}},
    "database": {"secretRef": {"name": "odd-db", "key": "URL"}},
    "selector": {"matchLabels": {"team": "x"}},
    "litellmParams": {"model": "openai/gpt-4o", "mock_response": "x"},
    "imageModel": {"name": "gpt-4o"},
}
"""The smallest valid values, where the schema's `required` isn't enough."""
_BESIDE: Final[dict[str, dict[str, Any]]] = {
    "tolerations[].key": {"operator": "Exists"},
    "tolerations[].operator": {"key": "k"},
    "tolerations[].value": {"key": "k", "operator": "Equal"},
    "tolerations[].tolerationSeconds": {"key": "k", "operator": "Exists", "effect": "NoExecute"},
    "allowedNamespaces.selector": {"from": "Selector"},
}
"""The fields that another field needs beside it."""
_RIVALS: Final = (
    {"value", "valueFrom"},
    {"secretKeyRef", "configMapKeyRef"},
    {"configMapRef", "secretRef"},
    {"secretRef", "embedded"},
    {"replicas", "autoscaling"},
    {"managed", "external"},
)
"""Fields that exclude each other."""


@dataclass(frozen=True)
class Case:
    """One resource with one value in one field, or with several.

    Attributes:
        changes: path, description of the value, value.
    """

    kind: str
    spec: dict[str, Any]
    changes: tuple[tuple[Path, str, Any], ...]

    @property
    def field(self) -> str:
        """The path of the first field below ``spec``."""
        return shown(self.changes[0][0])

    def __str__(self) -> str:
        return f"{self.kind} " + ", ".join(f"spec.{shown(path)}: {words}" for path, words, _ in self.changes)


def schema_of(kind: str) -> Schema:
    """The schema of a kind's spec."""
    [crd] = [crd for crd in custom_resource_definitions() if crd["spec"]["names"]["kind"] == kind]
    spec: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return spec


def cases(kind: str, base: dict[str, Any]) -> list[Case]:
    """Every field of a kind's spec with each of its values, in the order of the schema.

    Args:
        base: a good spec; only the field is changed.
    """
    schema = schema_of(kind)
    return [
        Case(kind, changed(base, schema, path, value), ((path, words, value),))
        for path, part in _fields(schema, ())
        for words, value in _values(shown(path), part)
    ]


def few(given: Iterable[Case], of_each: int, seed: int) -> list[Case]:
    """Some values of each field, chosen by a seed; always including the first, which is an ordinary one."""
    by_field: dict[str, list[Case]] = {}
    for case in given:
        by_field.setdefault(case.field, []).append(case)
    chosen = random.Random(seed)
    return [
        case
        for found in by_field.values()
        for case in (found[0], *chosen.sample(found[1:], min(of_each - 1, len(found) - 1)))
    ]


def mixed(base: dict[str, Any], given: Sequence[Case], count: int, seed: int) -> Iterator[Case]:
    """Resources with the values of two to eight of the given cases, which are of one kind."""
    schema, chosen = schema_of(given[0].kind), random.Random(seed)
    for _ in range(count):
        changes = tuple(case.changes[0] for case in chosen.sample(given, min(len(given), chosen.randint(2, 8))))
        spec = base
        for path, _, value in changes:
            spec = changed(spec, schema, path, value)
        yield Case(given[0].kind, spec, changes)


def shown(path: Path) -> str:
    """A path in the notation of docs/fields.md."""
    return ".".join(path).replace(".[]", "[]").replace(".{}", "{}")


def _fields(schema: Schema, at: Path) -> Iterator[tuple[Path, Schema]]:
    for name, part in schema.get("properties", {}).items():
        yield (*at, name), part
        yield from _fields(part, (*at, name))
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(key), dict):
            yield (*at, mark), schema[key]
            yield from _fields(schema[key], (*at, mark))


def changed(base: dict[str, Any], schema: Schema, path: Path, value: Any) -> dict[str, Any]:
    """A copy of a spec with a value at a path. Missing parents are added, and rivals are removed."""
    spec = copy.deepcopy(base)
    at: Any = spec
    for depth, name in enumerate(path):
        here, last = shown(path[: depth + 1]), depth == len(path) - 1
        schema = schema["items"] if name == "[]" else _below(schema, name)
        if not isinstance(at, (dict, list)):
            break  # in a mix, another field has put an odd value here
        if name == "[]":
            if not isinstance(at, list):
                break
            at.extend([_least(schema, here)] if not at else [])
            if last:
                at[0] = value
            at = at[0]
        else:
            if not isinstance(at, dict):
                break
            key = "odd_one" if name == "{}" else name
            for rivals in _RIVALS:
                for rival in rivals - {name} if name in rivals else ():
                    at.pop(rival, None)
            for end, more in _BESIDE.items():
                if here.endswith(end):
                    at.update(more)
            if last:
                at[key] = value
            elif at.get(key) in (None, [], {}):
                at[key] = _least(schema, here)
            at = at[key]
    return spec


def _below(schema: Schema, name: str) -> Schema:
    found: Schema = schema["additionalProperties"] if name == "{}" else schema["properties"][name]
    return found


def _least(schema: Schema, path: str) -> Any:
    for end, least in _LEAST.items():
        if path.endswith(end):
            return copy.deepcopy(least)
    if schema.get("type") == "object":
        needed = schema.get("required", ())
        return {name: _least(schema["properties"][name], f"{path}.{name}") for name in needed}
    if schema.get("type") == "array":
        return [_least(schema["items"], f"{path}[]")] * schema.get("minItems", 0)
    return _ordinary(schema)


def _ordinary(schema: Schema) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("x-kubernetes-int-or-string"):
        return 1
    if schema["type"] == "integer":
        return schema.get("minimum", 1)
    return True if schema["type"] == "boolean" else _samples(schema)[0]


def _samples(schema: Schema) -> tuple[str, ...]:
    if "pattern" in schema:
        return _PATTERNS[schema["pattern"]]
    rules = [rule["rule"] for rule in schema.get("x-kubernetes-validations", ())]
    patterns = [rule.removeprefix("self.matches(r'").removesuffix("')") for rule in rules if "matches(r'" in rule]
    if patterns:
        return _PATTERNS[patterns[0]]
    return ("os.environ/ODD",) if rules else _PLAIN


def _nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def _values(path: str, schema: Schema) -> list[tuple[str, Any]]:
    """The values for a field; the first is an ordinary one."""
    if schema.get("x-kubernetes-int-or-string"):
        found = [*_strings(schema), *_integers({"minimum": 0, "maximum": 2**31 - 1})]
    elif schema["type"] == "object":
        found = _objects(path, schema)
    elif schema["type"] == "array":
        found = _arrays(path, schema)
    elif schema["type"] == "string":
        found = _strings(schema)
    elif schema["type"] == "integer":
        found = _integers(schema)
    else:
        found = [("true", True), ("false", False), ("a word", "true"), ("a number", 1)]
    good = [("what it needs", _least(schema, path))] if path.endswith(tuple(_LEAST)) else []
    return [*good, *found, ("null", None)]


def _strings(schema: Schema) -> list[tuple[str, Any]]:
    if "enum" in schema:
        known = [(f"{value!r}", value) for value in schema["enum"]]
        return [*known, ("in another case", schema["enum"][0].swapcase()), *_ABSURD[:4], ("a number", 1)]
    found: list[tuple[str, Any]] = [(f"{value[:40]!r}", value) for value in _samples(schema)]
    longest = schema.get("maxLength")
    if longest:
        # For a string without a pattern, the longest is a good value.
        found += [("the longest", "x" * longest), ("one too long", "x" * (longest + 1))]
    return [*found, *_ABSURD, ("an integer", 7), ("an object", {"a": "b"}), ("a list", ["a"])]


def _integers(schema: Schema) -> list[tuple[str, Any]]:
    least, most = schema.get("minimum", -(2**31)), schema.get("maximum", 2**31 - 1)
    return [
        ("the least", least),
        ("the most", most),
        ("too little", least - 1),
        ("too much", most + 1),
        ("the largest that fits", 2**63 - 1),
        ("larger than fits", 2**64),
        ("a fraction", least + 0.5),
        ("a whole fraction", float(least + 1)),
        ("a word", "7"),
        ("a list", [1]),
    ]


def _objects(path: str, schema: Schema) -> list[tuple[str, Any]]:
    wrong = [("a word", "x"), ("a list", [{}]), ("a number", 0)]
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        free = [(label, _nested({"deep": 62, "deeper": _DEEP}.get(label, 0)) if v is None else v) for label, v in _FREE]
        given = (("its reader's words", _OWN_WORDS), ("a number too large", _TOO_LARGE))
        words = [(label, value) for label, of in given for end, value in of.items() if path.endswith(end)]
        least = _least(schema, path)
        return [(label, {**least, **value}) for label, value in free] + words + wrong
    if isinstance(schema.get("additionalProperties"), dict):
        below = schema["additionalProperties"]
        value = _least(below, f"{path}{{}}")
        most = schema.get("maxProperties", 50)
        keys = ("", "\u0000", "a/b/c", "é", " ", "x" * 64, "x" * 1000, "..", "litclaw.dev/digest", "cpu", "ca.crt")
        return [
            ("one entry", {"odd_one": value}),
            ("none", {}),
            ("the most", {f"k{number}": value for number in range(most)}),
            ("one too many", {f"k{number}": value for number in range(most + 1)}),
            *((f"the key {key[:70]!r}", {key: value}) for key in keys),
            *wrong,
        ]
    return [("the least", _least(schema, path)), ("empty", {}), ("an unknown field", {"surprise": 1}), *wrong]


def _arrays(path: str, schema: Schema) -> list[tuple[str, Any]]:
    item = _least(schema["items"], f"{path}[]")
    most = schema.get("maxItems", 50)
    return [
        ("one item", [item]),
        ("none", []),
        ("twice the same", [item, item]),
        ("the most", [_other(item, number) for number in range(most)]),
        ("one too many", [_other(item, number) for number in range(most + 1)]),
        ("null in it", [None]),
        ("a list in it", [[item]]),
        ("a word", "x"),
        ("an object", {"0": item}),
    ]


def _other(item: Any, number: int) -> Any:
    """A similar item that differs in what must be unique in a list."""
    if isinstance(item, str):
        return f"{item}{number}"
    return {**item, "name": f"{item['name']}{number}"} if isinstance(item, dict) and "name" in item else item
