"""Kill the operator at any moment: the end state is the same, with one live key for each agent."""

import random
import time
from collections import Counter

from .kube import Kube
from .proxy import Proxy
from .resources import TEAM, agent
from .waiting import LONG_SECONDS, eventually

AGENTS = 20
KILLS = 5


def test_one_live_key_an_agent_whenever_the_operator_is_killed(kube: Kube, proxy: Proxy) -> None:
    names = [f"storm-{number:02}" for number in range(AGENTS)]
    kube.apply(*[agent(name, key={"maxBudget": "5"}) for name in names])
    for _ in range(KILLS):
        time.sleep(random.uniform(0.1, 3.0))
        kube.run(
            "-n",
            "litclaw-system",
            "delete",
            "pod",
            "-l",
            "app.kubernetes.io/name=litclaw",
            "--force",
            "--grace-period=0",
        )
        kube.apply(*[agent(name, key={"maxBudget": str(random.randint(5, 9))}) for name in names])
    kube.apply(*[agent(name, key={"maxBudget": "5"}) for name in names])
    for name in names:
        kube.wait_ready("openclawagent", TEAM, name, timeout=LONG_SECONDS)
    uids = {kube.must("openclawagent", TEAM, name)["metadata"]["uid"] for name in names}

    def settled() -> bool:
        rows = [row for row in proxy.rows() if row["metadata"]["litclaw"]["agent"] in uids]
        keys = Counter(row["metadata"]["litclaw"]["agent"] for row in rows)
        assert set(keys.values()) == {1} and len(keys) == AGENTS, keys
        assert {row["max_budget"] for row in rows} == {5}, rows
        return True

    eventually(settled)
    for name in names[::5]:
        assert proxy.chat(kube.secret(TEAM, f"{name}-litellm")["LITELLM_API_KEY"]).status_code == 200
    kube.run("-n", TEAM, "delete", "openclawagent", *names)
    eventually(lambda: not [r for r in proxy.rows() if r["metadata"]["litclaw"]["agent"] in uids])


def test_an_agent_deleted_while_no_operator_runs_ends_with_its_key(kube: Kube, proxy: Proxy) -> None:
    kube.apply(agent("absentee"), agent("bereft"))
    uids = [kube.wait_ready("openclawagent", TEAM, name)["metadata"]["uid"] for name in ("absentee", "bereft")]
    operator = ("-n", "litclaw-system", "scale", "deployment/litclaw")
    kube.run(*operator, "--replicas=0")
    pods = ("pod", "-l", "app.kubernetes.io/name=litclaw", "--timeout=300s")
    kube.run("-n", "litclaw-system", "wait", "--for=delete", *pods)
    kube.run("-n", TEAM, "delete", "openclawagent", "absentee", "bereft", "--wait=false")
    kube.delete("secret", TEAM, "bereft-litellm")
    assert [len(proxy.rows(uid)) for uid in uids] == [1, 1]
    kube.run(*operator, "--replicas=2")
    for name in ("absentee", "bereft"):
        eventually(lambda name=name: kube.get("openclawagent", TEAM, name) is None, what=f"the end of {name}")
    assert [proxy.rows(uid) for uid in uids] == [[], []]
