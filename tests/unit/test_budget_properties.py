"""For any sequence of calls, rotations, failures, kills and resets: the spend shown is the spend of this budget period, and
no budget is granted twice."""

import os
from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from .budget_machine import BudgetScene, Fate, run

SECONDS = st.sampled_from([1, 10, 20, 60, 100, 700, 3_600, 20_000, 86_400, 3 * 86_400])
CALLS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 2, 3]),
        st.sampled_from([Decimal("0.05"), Decimal("0.5"), Decimal(2), Decimal(6)]),
        st.sampled_from([0, 0, 5, 20]),
    ),
    min_size=1,
    max_size=3,
)
FAILING = st.tuples(st.integers(1, 12), st.sampled_from(Fate))
FAILING_OR_NOT = st.one_of(st.none(), FAILING)


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
        duration=st.sampled_from([None, "monthly", "24h", "12h", "10d", "2d"]),
        budget=st.sampled_from([10, 10, None]),
        reset_delay=st.sampled_from([0, 600]),
    )
    def begin(self, duration: str | None, budget: int | None, reset_delay: int) -> None:
        self.scene = BudgetScene(duration, budget, reset_delay)
        self.scene.settle()

    @rule(calls=CALLS)
    def consumer_calls(self, calls: list[tuple[int, Decimal, int]]) -> None:
        for back, cost, seconds in calls:
            self.scene.call(back, cost)
            self.scene.clock.pass_(seconds)

    @rule(calls=CALLS, seconds=SECONDS)
    def consumer_calls_for_a_while(self, calls: list[tuple[int, Decimal, int]], seconds: int) -> None:
        self.consumer_calls(calls)
        self.scene.clock.pass_(seconds)

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: int) -> None:
        self.scene.clock.pass_(seconds)

    @precondition(lambda self: self.scene.ledger.ends)
    @rule(seconds=st.sampled_from([-3_600, -60, -10, 1, 60, 700, 20_000, 86_400]))
    def period_ends(self, seconds: int) -> None:
        self.scene.pass_to_the_end_of_the_period(seconds)

    @precondition(lambda self: len(self.scene.proxy.rows) > 1)
    @rule(seconds=st.sampled_from([-10, 1, 100]))
    def old_key_ends(self, seconds: int) -> None:
        self.scene.pass_to_the_end_of_a_key(seconds)

    @rule(read=st.booleans(), watch=st.booleans(), failing=FAILING_OR_NOT)
    def operator_works(self, read: bool, watch: bool, failing: tuple[int, Fate] | None) -> None:
        if watch:
            self.scene.watch()
        if read:
            self.scene.read_keys()
        self.scene.reconcile(*failing or ())

    @rule(grace=st.sampled_from(["0s", "5m", "1h", "72h"]), watch=st.booleans(), failing=FAILING_OR_NOT)
    def rotation(self, grace: str, watch: bool, failing: tuple[int, Fate] | None) -> None:
        self.scene.request_rotation(grace)
        if watch:
            self.scene.watch()
        self.scene.reconcile(*failing or ())

    @rule(watch=st.booleans(), failing=FAILING_OR_NOT)
    def secret_is_deleted(self, watch: bool, failing: tuple[int, Fate] | None) -> None:
        self.scene.delete_secret()
        if watch:
            self.scene.watch()
            self.scene.reconcile(*failing or ())

    @rule(which=st.integers(0, 5))
    def key_is_deleted_at_the_proxy(self, which: int) -> None:
        self.scene.delete_key(which)

    @rule()
    def secret_write_is_given_up(self) -> None:
        self.scene.kube.gives_up.add("Secret")

    @precondition(lambda self: self.scene.kube.given_up)
    @rule(watch=st.booleans())
    def write_is_carried_out_late(self, watch: bool) -> None:
        run(self.scene.kube.carry_out())
        if watch:
            self.scene.watch()

    @rule(amount=st.sampled_from([1, 10]))
    def budget_is_raised(self, amount: int) -> None:
        self.scene.raise_budget(amount)
        self.scene.watch()

    @rule(suspend=st.booleans())
    def suspended_or_resumed(self, suspend: bool) -> None:
        self.scene.change_agent(suspend=suspend)
        self.scene.watch()
        self.scene.reconcile()

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
