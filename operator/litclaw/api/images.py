"""The images that the operator runs by default, each pinned to a release.

LiteLLM is the ``litellm-non_root`` image, not ``litellm-database``. Both hold the same proxy with the same database
support, and both keep Prisma's engines in ``/opt/prisma`` where any user may read them (BerriAI/litellm pull requests
33853 and 34325, 2026-07), but only the former is made for the ``restricted`` Pod Security Standard: it ends with
``USER nobody`` (65534) where ``docker/Dockerfile.database`` ends as root with an ``/app`` and a Prisma client that
only root can write (pull request 36732 asks for that), and its migrations are tried upstream offline, under an
arbitrary user and with a read-only root. Since 1.84 each LiteLLM release is tagged ``v<release>`` in all its images
(the release notes of v1.106.2 and v1.99.1 name the tags).

``images/`` builds stand-ins of the same names from package registries for machines that reach no image registry.
"""

from typing import Final

LITELLM_IMAGE: Final = "ghcr.io/berriai/litellm-non_root:v1.106.2"
POSTGRES_IMAGE: Final = "docker.io/library/postgres:15.20-bookworm"
OPENCLAW_IMAGE: Final = "ghcr.io/openclaw/openclaw:2026.9.6"
OPERATOR_IMAGE: Final = "ghcr.io/litclaw/litclaw:0.1.0"
