"""What protocols, directions and reasons are called in a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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


def sentences(notes: Iterable[str]) -> tuple[str, ...]:
    """Write notes as sentences of a report, which knows no code marks."""
    return tuple(f"{note[:1].upper()}{note[1:]}.".replace("`", "") for note in notes)


def reasons(of: Mapping[str, str]) -> tuple[str, ...]:
    """Say why figures are missing, one sentence for those of one reason.

    Examples
    --------
    >>> reasons({"rows": "no boxes", "glued": "no labels", "ambient": "no boxes"})
    ('No ambient, rows: no boxes.', 'No glued: no labels.')
    """
    missing: dict[str, list[str]] = {}
    for what, why in sorted(of.items()):
        missing.setdefault(why, []).append(what)
    return tuple(f"No {', '.join(names)}: {why}." for why, names in missing.items())
