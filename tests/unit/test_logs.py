"""Log lines: JSON with the resource's fields in the cluster, readable at a terminal."""

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
from litclaw.cli import logs
from litclaw.reconcile.core.log_context import log_context
from litclaw.reconcile.core.queue import WorkQueue

log = logging.getLogger("litclaw.test")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_names_the_resource(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json", "info")
    with log_context(("OpenClawAgent", "team-a", "scout")):
        log.info("a line about %s", "it", extra={"seconds": 0.1})
    log.warning("another")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["kind"], first["namespace"], first["name"]) == ("OpenClawAgent", "team-a", "scout")
    assert (first["logger"], first["level"], first["message"]) == ("litclaw.test", "INFO", "a line about it")
    assert first["seconds"] == 0.1 and "time" in first and "about" not in first
    assert not {"kind", "namespace", "name"} & second.keys()


def test_text_names_the_resource(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("text", "info")
    with log_context(("OpenClawAgent", "team-a", "scout")):
        log.info("a line")
    log.info("another")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("litclaw.test: OpenClawAgent team-a/scout: a line") and second.endswith("test: another")


async def test_lines_of_the_queue_name_the_resource(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json", "info")

    async def handler(_: tuple[str, str, str]) -> None:
        queue_ends.append(None)
        raise ConnectionError("gone")

    queue_ends: list[None] = []
    queue = WorkQueue(handler, transient=(ConnectionError,), scope=log_context)
    queue.enqueue(("LiteLLMRoute", "ai", "main"))
    task = asyncio.create_task(queue.run(1))
    while not queue_ends:
        await asyncio.sleep(0.01)
    await queue.stop(1)
    task.cancel()
    line = json.loads(capsys.readouterr().err.splitlines()[0])
    assert (line["kind"], line["namespace"], line["name"]) == ("LiteLLMRoute", "ai", "main")


def test_libraries_that_log_each_request_are_quiet_even_at_debug() -> None:
    logs.set_up("json", "debug")
    for name in ("kubernetes.aio.client.rest", "kopf.objects", "aiohttp.access"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO), name
