"""The images that only the tests need. `images/build` builds stand-ins of the same names where no registry is reached."""

from typing import Final

REDIS_IMAGE: Final = "docker.io/library/redis:7.0.15-bookworm"
