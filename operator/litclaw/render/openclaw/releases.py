"""What an OpenClaw release reads of openclaw.json. It refuses to start over a key that it doesn't know.

Found in the npm packages themselves and proved with ``openclaw config validate`` of each release that starts a line and
of the one before it: docs/openclaw-releases.md has the table, and how to make it again.
"""

import re
from dataclasses import dataclass

Release = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """What holds from one release on.

    Attributes:
        since: the first release of the line.
        private_network: whether ``models.providers.*.request.allowPrivateNetwork`` is known.
        image: where below ``agents.defaults`` the model for images is named.
        image_timeout: whether ``timeoutMs`` is known there.
    """

    since: Release
    private_network: bool
    image: tuple[str, ...]
    image_timeout: bool


LAYOUTS = (
    Layout((2026, 4, 9), private_network=False, image=("imageGenerationModel",), image_timeout=False),
    Layout((2026, 4, 10), private_network=True, image=("imageGenerationModel",), image_timeout=False),
    Layout((2026, 4, 25), private_network=True, image=("imageGenerationModel",), image_timeout=True),
    Layout((2026, 8, 1), private_network=True, image=("mediaModels", "image"), image_timeout=True),
)
"""Oldest first. A release newer than all of them is taken to read what the newest line does."""

_RELEASE = re.compile(r"v?(\d{4})\.(\d{1,2})\.(\d{1,3})(?:[-.+].*)?")


class TooOldError(ValueError):
    """A release is older than what is supported. ``args``: a sentence."""


def release_of(text: str) -> Release | None:
    """A release such as ``2026.9.6`` or ``2026.7.1-2`` as numbers, or None where it isn't one."""
    match = _RELEASE.fullmatch(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def release_of_image(image: str) -> Release | None:
    """The release that an image's tag names, or None where it names none (``latest``, a digest, a name of one's own)."""
    _, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    return release_of(tag)


def layout(release: Release | None) -> Layout:
    """What a release reads; None: the newest layout.

    Raises:
        TooOldError: with what to do.
    """
    if release is None:
        return LAYOUTS[-1]
    known = [line for line in LAYOUTS if line.since <= release]
    if not known:
        given, oldest = (".".join(map(str, numbers)) for numbers in (release, LAYOUTS[0].since))
        raise TooOldError(f"OpenClaw {given} is older than {oldest}, the oldest that openclaw.json is written for")
    return known[-1]
