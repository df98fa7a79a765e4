"""A sample of the fault campaign, drawn by a fixed seed; `make chaos` runs all of it (docs/design/faults.md)."""

import asyncio
from pathlib import Path

from dev.cluster import Cluster, sayer
from tests.chaos.campaign import LiteLLM, campaign, installed_operator_away
from tests.chaos.faults import KILLS
from tests.chaos.report import failures
from tests.chaos.stage import NAMESPACE_NAME
from tests.chaos.stories import STORIES
from tests.chaos.sweep import Outcome, Sweep, drawn

from .support import AI, Kube, Proxy

SEED = 7
CALLS, KILLED = 20, 8


def test_a_call_that_fails_leaves_nothing_behind(kube: Kube, proxy: Proxy, cluster: Cluster, tmp_path: Path) -> None:
    master = kube.secret(AI, "main-master-key")["LITELLM_MASTER_KEY"]
    with installed_operator_away(cluster):
        outcomes, said = asyncio.run(_sample(cluster, LiteLLM(f"{AI}/main-litellm", master), tmp_path))
    assert not failures(outcomes), failures(outcomes)
    assert not said, said
    assert sum(outcome.reached for outcome in outcomes) > 0.8 * len(outcomes), "most faults must have met a call"


async def _sample(cluster: Cluster, litellm: LiteLLM, folder: Path) -> tuple[list[Outcome], list[str]]:
    stories = list(STORIES.values())
    async with campaign(cluster, {"": litellm}, folder) as found:
        async with found.running(f"--namespaces={NAMESPACE_NAME}") as operator:
            sweep = Sweep(found.stage, sayer(), CALLS + KILLED)
            sweep.operator = operator
            await sweep.record(stories)
            # In one batch: what meets another fault meets a restart too.
            calls, kills = drawn(sweep.cases(stories), CALLS, SEED), drawn(sweep.cases(stories, KILLS), KILLED, SEED)
            outcomes = await sweep.run([*calls, *kills])
        return outcomes, await found.said_by_operators()
