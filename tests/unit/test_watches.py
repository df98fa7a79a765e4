"""What kopf is told about the watches."""

from litclaw.handlers.watches import Watches
from litclaw.kube.cache import Cache


def test_an_api_server_that_refuses_for_a_quarter_of_an_hour_ends_no_process() -> None:
    settings = Watches(Cache(), lambda key: None)._settings()
    backoffs = settings.networking.error_backoffs
    assert isinstance(backoffs, tuple) and sum(backoffs) > 15 * 60 and max(backoffs) <= 10
