"""The images that the operator runs by default, each pinned to a release.

LiteLLM is the ``litellm-non_root`` image, not ``litellm-database``. Both contain the same proxy with the same database
support, and both keep Prisma's engines in ``/opt/prisma``, where every user may read them (BerriAI/litellm pull
requests 33853 and 34325, 2026-07). Only the former is made for the ``restricted`` Pod Security Standard: it ends with
``USER nobody`` (65534), and upstream tests its migrations offline, with an arbitrary user and a read-only root.
``docker/Dockerfile.database`` ends as root, and only root can write its ``/app`` and its Prisma client (pull request
36732 asks for a change). Since 1.84, each LiteLLM release is tagged ``v<release>`` in all its images (the release notes
of v1.106.2 and v1.99.1 name the tags).

``images/`` builds stand-ins of the same names from package registries, for machines that can't reach an image registry.
"""

from typing import Final

LITELLM_IMAGE: Final = "ghcr.io/berriai/litellm-non_root:v1.106.2"
POSTGRES_IMAGE: Final = "docker.io/library/postgres:15.20-bookworm"
OPENCLAW_IMAGE: Final = "ghcr.io/openclaw/openclaw:2026.9.6"
OPERATOR_IMAGE: Final = "ghcr.io/litclaw/litclaw:0.1.0"
