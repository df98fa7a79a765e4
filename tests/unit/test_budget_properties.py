"""For any sequence of calls, rotations, failures, kills and resets: the spend shown is the spend of this budget period, and
no budget is granted twice."""

import os
from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from .budget_machine import BudgetScene, Fate, run

SECONDS = st.sampled_from([1, 20, 60, 100, 700, 3_600, 20_000, 86_400, 3 * 86_400])
COSTS = st.sampled_from([Decimal("0.05"), Decimal("0.5"), Decimal(2), Decimal(6)])


class Budgets(RuleBasedStateMachine):
    """Whatever happens, in any order."""

    scene: BudgetScene

    def teardown(self) -> None:
        """In the end everything settles."""
        if hasattr(self, "scene"):
            try:
                self.scene.finish()
            finally:
                self.scene.close()

    @initialize(
        duration=st.sampled_from([None, "monthly"]),
        budget=st.sampled_from([10, None]),
        reset_delay=st.sampled_from([0, 600]),
    )
    def begin(self, duration: str | None, budget: int | None, reset_delay: int) -> None:
        self.scene = BudgetScene(duration, budget, reset_delay)
        self.scene.settle()

    @rule(back=st.integers(0, 3), cost=COSTS)
    def call(self, back: int, cost: Decimal) -> None:
        self.scene.call(back, cost)

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: int) -> None:
        self.scene.clock.pass_(seconds)

    @rule()
    def pass_runs(self) -> None:
        self.scene.reconcile()

    @rule()
    def keys_are_read(self) -> None:
        self.scene.read_keys()

    @rule()
    def watches_catch_up(self) -> None:
        self.scene.watch()

    @rule(grace=st.sampled_from(["0s", "5m", "1h", "72h"]), seen=st.booleans())
    def rotation(self, grace: str, seen: bool) -> None:
        self.scene.request_rotation(grace)
        if seen:
            self.scene.watch()

    @rule(at=st.integers(1, 12), fate=st.sampled_from(Fate))
    def request_fails(self, at: int, fate: Fate) -> None:
        self.scene.fault.at, self.scene.fault.fate = at, fate
        self.scene.reconcile()

    @rule()
    def secret_write_is_given_up(self) -> None:
        self.scene.kube.gives_up.add("Secret")

    @precondition(lambda self: self.scene.kube.given_up)
    @rule()
    def write_is_carried_out_late(self) -> None:
        run(self.scene.kube.carry_out())

    @rule()
    def operator_restarts(self) -> None:
        self.scene.start()

    @rule()
    def settles(self) -> None:
        self.scene.settle()


TestBudgets = Budgets.TestCase
TestBudgets.settings = settings(
    max_examples=int(os.environ.get("BUDGET_EXAMPLES", "100")),
    stateful_step_count=30,
    deadline=None,
    derandomize="BUDGET_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
