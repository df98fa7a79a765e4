"""A sample of the fault campaign, drawn with a fixed seed; `make chaos` runs all of it (docs/design/faults.md)."""

import asyncio
from pathlib import Path

from dev.cluster import Cluster, sayer
from tests.chaos.campaign import LiteLLM, campaign, installed_operator_away
from tests.chaos.cases import Outcome, drawn
from tests.chaos.faults import KILLS
from tests.chaos.report import failures
from tests.chaos.stage import NAMESPACE_NAME
from tests.chaos.stories import STORIES
from tests.chaos.sweep import Sweep

from .kube import Kube
from .proxy import Proxy
from .resources import AI

SEED = 7
CALLS, KILLED = 26, 8
"""Of calls, one of each story."""


def test_a_call_that_fails_leaves_nothing_behind(kube: Kube, proxy: Proxy, cluster: Cluster, tmp_path: Path) -> None:
    master = kube.secret(AI, "main-master-key")["LITELLM_MASTER_KEY"]
    with installed_operator_away(cluster):
        outcomes, log = asyncio.run(_sample(cluster, LiteLLM(f"{AI}/main-litellm", master), tmp_path))
    assert not failures(outcomes), failures(outcomes)
    assert not log, log
    assert sum(outcome.reached for outcome in outcomes) > 0.5 * len(outcomes), "most faults must have struck a call"


async def _sample(cluster: Cluster, litellm: LiteLLM, folder: Path) -> tuple[list[Outcome], list[str]]:
    stories = list(STORIES.values())
    async with campaign(cluster, {"": litellm}, folder) as found:
        async with found.running(f"--namespaces={NAMESPACE_NAME}") as operator:
            sweep = Sweep(found.stage, sayer(), CALLS + KILLED)
            sweep.operator = operator
            await sweep.record(stories)
            # In one batch, so the cases with other faults meet a restart too.
            calls, kills = drawn(sweep.cases(stories), CALLS, SEED), drawn(sweep.cases(stories, KILLS), KILLED, SEED)
            outcomes = await sweep.run([*calls, *kills])
        return outcomes, await found.log_violations()
