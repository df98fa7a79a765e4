"""The last lines that a crashed container has written, for a condition, where the installation allows reading logs.

No secret may get there. A line is left out if it contains a value of a Secret that the pod has, or what is in such a value (a
password in JSON or in a connection string), as it is or as URLs and base64 write it, or anything that looks like a secret: what a
container prints may come from a Secret that it reads by itself.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from litclaw.kube.errors import KubeError
from litclaw.reconcile.core.cluster import Cluster
from litclaw.reconcile.core.secret_values import values

_READ_LINES, _SHOWN_LINES, _LONGEST_LINE = 30, 5, 200
_SEARCHED = 3 * _LONGEST_LINE
"""Characters of a line in which something that looks like a secret is looked for. The time grows with their square, and a
container may write a line of any length. What is shown is a third of it, so a secret isn't cut off before it can be recognized."""
_MOST_BYTES = 64 * 1024
_MOST_SECRETS = 64 * 1024
"""Characters of all values together; of a pod with more, nothing is shown."""
_SHORT = 6
"""Characters; a shorter value is looked for as a word, because it is part of many."""
_SEPARATORS = re.compile(r"[\s\"'`=,;&?\\<>]+")
_WORD = re.compile(r"\w+")
_BRACKETS = "{}[]()"
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LOOKS_SECRET = re.compile(
    r"sk-[\w.-]{4,}"
    r"|://[^/\s]*@"  # user and password in a URL
    r"|\beyJ[\w-]{8,}"  # a JSON Web Token
    r"|-----BEGIN "
    r"|(?i:bearer|basic)\s+\S"
    r"|(?i:passw|secret|token|api.?key|credential|authori[sz]ation|private.?key)[\w\"' -]*[=:]\s*\S"
    r"|(?=[\w+=-]*\d)(?=[\w+=-]*[A-Za-z])[\w+=-]{20,}"  # random text: letters and digits without a break
)


async def last_lines(cluster: Cluster, pod: Mapping[str, Any], container: str, *, previous: bool) -> str:
    """The last lines of a container's log that have no secret in them; empty where there are none, or they can't be read.

    Args:
        previous: True for the log from before the container was started again.
    """
    meta = pod["metadata"]
    try:
        secrets = [
            value.get_secret_value()
            for name in sorted(_secrets_of(pod["spec"]))
            for value in (await values(cluster, meta["namespace"], name) or {}).values()
        ]
        log = await cluster.kube.log(
            meta["namespace"], meta["name"], container, previous=previous, lines=_READ_LINES, most=_MOST_BYTES
        )
    except KubeError:
        return ""  # without every value nothing is shown
    if sum(map(len, secrets)) > _MOST_SECRETS:
        return ""  # looking for each of them in each line would take seconds
    if len(log) >= _MOST_BYTES:
        log = log[: log.rfind(b"\n") + 1]  # of a line that was cut off, a part of a secret may be left
    return " | ".join(harmless_lines(log.decode(errors="replace"), secrets)[-_SHOWN_LINES:])


def harmless_lines(log: str, secrets: Iterable[str]) -> list[str]:
    """The lines of a log without those that may have a secret in them, shortened.

    Args:
        secrets: values that must not be in a line, nor a part of them.
    """
    forms: set[str] = set()
    words: set[str] = set()
    short: list[re.Pattern[str]] = []
    for secret in secrets:
        forms.update(form for part in _parts(secret) for form in _forms(part))
        for piece in filter(_is_long, _pieces(secret)):
            written = set(_forms(piece))
            if piece.isalpha() and piece.islower():  # a name, such as that of an option, is part of other words
                words.add(piece)
                written.discard(piece)
            forms |= written
    long = list(filter(_is_long, forms))
    for form in forms.difference(long):
        if _WORD.fullmatch(form):
            words.add(form)
        else:
            short.append(re.compile(rf"(?<!\w){re.escape(form)}(?!\w)"))
    found = []
    for raw in log.splitlines():
        line = "".join(each for each in _COLOUR.sub("", raw) if each.isprintable()).strip()
        if (
            _LOOKS_SECRET.search(line, 0, _SEARCHED)
            or any(form in line for form in long)
            or any(form.search(line) for form in short)
            or not words.isdisjoint(_WORD.findall(line))
        ):
            continue
        if line:
            found.append(line[:_LONGEST_LINE])
    return found


def _is_long(form: str) -> bool:
    return len(form) >= _SHORT


def _parts(secret: str) -> list[str]:
    """A value, each of its lines, and the parts of a URL."""
    return [secret, *secret.splitlines(), *_url_parts(secret)]


def _url_parts(text: str) -> list[str]:
    try:
        url = urlsplit(text.strip())
        return [part for part in (url.username, url.password, url.netloc, url.query) if part]
    except ValueError:
        return []


def _pieces(secret: str) -> Iterator[str]:
    """What may be a secret in a value that has a form: texts in JSON, values in a connection string, parts of a list."""
    for text in _json_texts(secret):
        yield from text.splitlines()
    for token in _SEPARATORS.split(secret):
        yield token
        yield token.strip(_BRACKETS)
        yield from _url_parts(token) if "://" in token else token.split(":")


def _json_texts(secret: str) -> Iterator[str]:
    if not secret.lstrip().startswith(("{", "[")):
        return
    try:
        left: list[Any] = [json.loads(secret)]
    except (ValueError, RecursionError):
        return
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            left += value.values() if isinstance(value, dict) else value


def _forms(part: str) -> Iterator[str]:
    """How a text may be written: as it is, encoded for a URL, or in base64."""
    if part := part.strip():
        yield part
        yield quote(part, safe="")
        yield unquote(part)
        yield base64.b64encode(part.encode()).decode().rstrip("=")


def _secrets_of(spec: Mapping[str, Any]) -> set[str]:
    """Names of the Secrets in a pod's environment and volumes."""
    found: set[str] = set()
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        for entry in container.get("env") or ():
            if ref := (entry.get("valueFrom") or {}).get("secretKeyRef"):
                found.add(ref["name"])
        for source in container.get("envFrom") or ():
            if ref := source.get("secretRef"):
                found.add(ref["name"])
    for volume in spec.get("volumes") or ():
        if secret := volume.get("secret"):
            found.add(secret["secretName"])
        for source in (volume.get("projected") or {}).get("sources") or ():
            if ref := source.get("secret"):
                found.add(ref["name"])
    return found
