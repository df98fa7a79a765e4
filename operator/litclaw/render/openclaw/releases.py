"""Layouts of openclaw.json by OpenClaw release. A release refuses to start if the file has a key that it doesn't know.

The layouts come from the npm packages, and were checked with ``openclaw config validate`` of each release that
introduces a layout and of the one before it. docs/openclaw-releases.md has the table and how to reproduce it.
"""

import re
from dataclasses import dataclass

Release = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout of openclaw.json.

    Attributes:
        since: the first release with this layout.
        private_network: whether ``models.providers.*.request.allowPrivateNetwork`` exists.
        image: path of the image model's entry below ``agents.defaults``.
        image_timeout: whether that entry may have ``timeoutMs``.
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
"""Oldest first. Releases newer than the last entry are assumed to have its layout."""

_RELEASE = re.compile(r"v?(\d{4})\.(\d{1,2})\.(\d{1,3})(?:[-.+].*)?")


class TooOldError(ValueError):
    """A release is older than the oldest supported one. ``args``: a sentence."""


def release_of(text: str) -> Release | None:
    """A release such as ``2026.9.6`` or ``2026.7.1-2`` as numbers, or None if the text isn't a release."""
    match = _RELEASE.fullmatch(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def release_of_image(image: str) -> Release | None:
    """The release in an image's tag, or None if there is none (``latest``, a digest, a custom tag)."""
    _, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    return release_of(tag)


def layout(release: Release | None) -> Layout:
    """The layout of a release; None: the newest layout.

    Raises:
        TooOldError: the release is older than every layout.
    """
    if release is None:
        return LAYOUTS[-1]
    known = [each for each in LAYOUTS if each.since <= release]
    if not known:
        given, oldest = (".".join(map(str, numbers)) for numbers in (release, LAYOUTS[0].since))
        raise TooOldError(f"OpenClaw {given} is older than {oldest}, the oldest release that is supported")
    return known[-1]
