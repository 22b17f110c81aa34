"""What a person can do about a file that could not be used, by the code of its failure."""

from __future__ import annotations

WAYS_OUT = {
    "missing": "put the file where the name says, or take the name out of the manifest",
    "empty": "copy the file again, or delete it",
    "truncated": "copy or download the file again",
    "unsupported": "convert it: a sound to wav, flac or mp3, a picture to jpg, a video to mp4",
    "corrupt": "copy the file again, or convert it with another program",
    "no-audio-stream": "nothing, where it is meant to be silent: its frames are indexed",
    "no-video-stream": "nothing, where it is meant to be a sound: its sound is indexed",
    "too-large": "make a smaller copy, or cut it",
    "too-short": "take a longer sound; a sound needs a hundredth of a second",
    "silent": "nothing, where it is meant to be silent; else look at how it was recorded",
    "not-finite": "convert it with another program: its samples are no numbers",
    "changed": "run build-index again when nothing writes to the file any more",
    "permission": "let your user read the file, then run build-index --retry-failed",
    "crashed": "convert it with another program; build-index --retry-failed tries it once more",
    "timeout": "run build-index --retry-failed when the disk is less busy, or cut the file",
    "out-of-memory": "make a smaller copy, or run build-index --retry-failed with fewer workers",
    "outside-corpus": "copy the file into the corpus, or give --follow-symlinks",
    "bad-row": "mend the row of the manifest",
}
"""Of every code in `encoder.errors.MEDIA_CODES` and `indexer.plan.OWN_CODES`."""
UNKNOWN = "look at the file; build-index --retry-failed tries it once more"
"""For a code of a newer release."""


def way_out(code: str) -> str:
    """Return what to do about a failure of this code.

    Examples
    --------
    >>> way_out("empty")
    'copy the file again, or delete it'
    """
    return WAYS_OUT.get(code, UNKNOWN)
