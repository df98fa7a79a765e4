"""The last lines of a crash in a condition: with a permission of its own, and never with a secret in them."""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from litclaw.kube.errors import InvalidError
from litclaw.reconcile.core.crash_log import harmless_lines
from litclaw.reconcile.core.workload_status import workload_failure
from litclaw.render.metadata import encode

from .scenes import Body, FakeKube, Scene
from .test_workload_failures import crashed, pod, workload

PASSWORD = "correct horse/battery"
URL = f"postgresql://litellm:{quote(PASSWORD, safe='')}@db/litellm"


@pytest.mark.parametrize(
    "line",
    [
        f"can't connect with {URL}",
        f"password authentication failed, given {PASSWORD}",
        f"given {quote(PASSWORD, safe='')} instead",
        f"header {base64.b64encode(PASSWORD.encode()).decode()}",
        "the pin is 4711.",
        "second line of the certificate: MIIBszCC",
    ],
)
def test_a_line_with_a_value_of_a_secret_is_left_out_however_it_is_written(line: str) -> None:
    secrets = [PASSWORD, URL, "4711", "first\nMIIBszCC"]
    assert harmless_lines(f"before\n{line}\nafter", secrets) == ["before", "after"]


@pytest.mark.parametrize(
    "secret",
    [
        '{"user": "x", "password": "hunter22"}',
        '{"servers": [{"note": "a, b", "auth": ["hunter22\\nnext"]}]}',
        r'{"password": "\u0068unter22"}',
        '{"url": "postgresql://x:hunter22@db/x"}',
        "{password: hunter22}",
        "host=db user=x password=hunter22",
        "Server=db;Password='hunter22';",
        "db:5432:x:hunter22",
        "amqp://x:hunter22@one,amqp://x:hunter22@two",
        "postgresql://db/x?user=x&password=hunter22",
        "<settings><password>hunter22</password></settings>",
        "[database]\npassword = hunter22\n",
        '{"not JSON": hunter22',
    ],
)
def test_a_line_with_what_is_in_a_value_is_left_out(secret: str) -> None:
    log = "before\ncannot log in as hunter22: refused\ngot aHVudGVyMjI=\nafter"
    assert harmless_lines(log, [secret]) == ["before", "after"]


def test_a_word_in_a_value_is_no_part_of_another() -> None:
    secrets = ["postgresql://db/x?sslmode=require", '{"kind": "production"}']
    log = "Field required: model\nreproductions\nsslmode is require\nin production.\ngot cHJvZHVjdGlvbg=="
    assert harmless_lines(log, secrets) == ["Field required: model", "reproductions"]


@pytest.mark.parametrize(
    "line",
    [
        "Invalid proxy server token passed: sk-12345678",
        "redis://default:hunter22@redis:6379",
        "Authorization: Bearer abc",
        "got eyJhbGciOiJIUzI1NiJ9.e30.x",
        "AWS_SECRET_ACCESS_KEY=abc",
        "{'api_key': 'abc', 'model': 'gpt-4o'}",
        "password = hunter22",
        "-----BEGIN PRIVATE KEY-----",
        "seen AKIAIOSFODNN7EXAMPLE in the request",
        "nonce 9f86d081884c7d659a2feaa0c55ad015",
    ],
)
def test_what_looks_like_a_secret_is_left_out_though_nobody_knows_it(line: str) -> None:
    assert harmless_lines(line, []) == []


def test_what_a_person_needs_stays_and_is_short() -> None:
    log = """Traceback (most recent call last):
  File "/opt/litellm/lib/python3.11/site-packages/litellm/proxy/proxy_server.py", line 812, in startup
\x1b[31mModuleNotFoundError\x1b[0m: No module named 'callbacks'
"""
    assert harmless_lines(log, ["s3cret-value", ""]) == [
        "Traceback (most recent call last):",
        'File "/opt/litellm/lib/python3.11/site-packages/litellm/proxy/proxy_server.py", line 812, in startup',
        "ModuleNotFoundError: No module named 'callbacks'",
    ]
    assert len(harmless_lines("word " * 1000, [])[0]) == 200


class Logged(FakeKube):
    """A cluster with logs."""

    text = "".join(f"step {number}\n" for number in range(9)) + f"the password is {PASSWORD}\n"
    asked: Mapping[str, Any] = {}

    async def log(self, namespace: str, pod: str, container: str, **how: Any) -> bytes:
        """A container's log."""
        self.asked = {"where": f"{namespace}/{pod}/{container}", **how}
        if not self.text:
            raise InvalidError(403, "Forbidden", "pods/log is forbidden")
        return self.text.encode()


def scene_with(kube: Logged, *, crash_logs: bool = True) -> Scene:
    """A crashed container with a Secret in its environment."""
    scene = Scene()
    scene.context.kube = scene.kube = kube  # type: ignore[assignment]
    scene.context.crash_logs = crash_logs
    secret_ref = {"secretKeyRef": {"name": "db", "key": "PASSWORD"}}
    spec = {"containers": [{"name": "litellm", "env": [{"name": "P", "valueFrom": secret_ref}]}]}
    scene.put({**pod(crashed(state="waiting")), "spec": spec})
    meta = {"namespace": "ai", "name": "db", "uid": "db", "resourceVersion": "1"}
    scene.put({"kind": "Secret", "metadata": meta, "data": encode({"PASSWORD": PASSWORD})})
    return scene


async def message(scene: Scene) -> str:
    found = await workload_failure(scene.context, workload())
    assert found and found.reason == "CrashLoopBackOff"
    return found.message


async def test_the_last_lines_are_there_where_the_installation_allows_it_and_nowhere_else() -> None:
    kube = Logged()
    assert (await message(scene_with(kube))).endswith(" Its last lines: step 4 | step 5 | step 6 | step 7 | step 8")
    assert kube.asked["where"] == "ai/main-litellm-abc-x/litellm" and kube.asked["previous"]
    silent = Logged()
    assert "last lines" not in await message(scene_with(silent, crash_logs=False)) and not silent.asked
    silent.text = ""
    assert "last lines" not in await message(scene_with(silent)), "without the permission, everything else is said"


async def test_where_a_value_cannot_be_read_no_line_is_shown() -> None:
    class NoSecrets(Logged):
        async def get(self, resource: Any, namespace: str | None, name: str) -> Body | None:
            raise InvalidError(403, "Forbidden", "secrets is forbidden")

    assert "last lines" not in await message(scene_with(NoSecrets()))


async def test_of_a_log_that_is_cut_off_the_last_line_is_not_shown() -> None:
    kube = Logged()
    kube.text = "short\n" + "x " * 40_000
    assert (await message(scene_with(kube))).endswith(" Its last lines: short")
