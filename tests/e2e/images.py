"""Images that only the tests need. `images/build` builds stand-ins of these names where no registry is reachable."""

from typing import Final

REDIS_IMAGE: Final = "docker.io/library/redis:7.0.15-bookworm"
