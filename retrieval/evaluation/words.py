"""What protocols, directions and reasons are called in a report."""

from __future__ import annotations

from collections.abc import Mapping

from indexer.evaluation.figures import Direction, Protocol

PROTOCOLS: Mapping[Protocol, str] = {
    "leak_free": "leak-free",
    "coarse": "coarse (frame alone)",
    "own_sound": "own-sound (S19)",
    "swapped": "swapped sounds",
    "associative": "associative",
}
DIRECTIONS: Mapping[Direction, str] = {
    "audio_to_image": "audio → image",
    "image_to_audio": "image → audio",
    "keep_image": "keep the image, exchange the audio",
    "keep_audio": "keep the audio, exchange the image",
}
CROSS_MODAL: tuple[Direction, ...] = ("audio_to_image", "image_to_audio")
ASSOCIATIVE: tuple[Direction, ...] = ("keep_image", "keep_audio")
ORDER: tuple[Protocol, ...] = ("leak_free", "coarse", "own_sound", "swapped")


def ranking_name(protocol: Protocol, direction: Direction) -> str:
    """Name a ranking, such as `leak-free, audio → image`."""
    return f"{PROTOCOLS[protocol]}, {DIRECTIONS[direction]}"


def reasons(of: Mapping[str, str]) -> tuple[str, ...]:
    """Say of each figure that is missing why it is, one sentence each."""
    return tuple(f"No {what}: {why}." for what, why in sorted(of.items()))
