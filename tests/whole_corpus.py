"""A corpus with one of everything, and all that an index knows of its items."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conftest import write_picture, write_sound, write_video
from indexer_fixtures import write_pairs

from indexer.reader import IndexReader


def write_corpus(folder: Path) -> Path:
    """Pairs, files that several items share, a video, files that fail, rows with all they can."""
    write_pairs(folder, 9)
    write_video(folder / "clip.mp4", 1, seconds=4)
    write_video(folder / "mute.mp4", 2, with_sound=False)
    write_picture(folder / "lone.png", 50)
    write_sound(folder / "lone.wav", 51)
    (folder / "broken.png").write_bytes(b"no picture")
    rows: list[dict[str, Any]] = [
        {"image": f"p00{n}.png", "audio": f"p00{n}.wav", "label": "ab"[n % 2], "n": n, "é": [n]}
        for n in range(9)
    ]
    rows[3]["boxes"] = [{"box": [1, 2, 30, 40], "annotator": "x", "tag": "dog"}, [0, 0, 9, 9]]
    rows += [{"image": "p000.png", "audio": "p004.wav"}, {"image": "p000.png", "audio": "p004.wav"}]
    rows += [{"image": "broken.png", "audio": "p008.wav"}, {"audio": "gone.wav"}, {"label": "none"}]
    rows += [{"video": "clip.mp4"}, {"video": "mute.mp4"}, {"image": "lone.png"}]
    rows += [{"audio": "lone.wav"}, {"image": "broken.png"}]
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def everything(index: Path) -> list[list[Any]]:
    """What an index knows of its items, but for their ids."""
    with IndexReader.open(index) as reader:
        found = (
            [
                *(row.kind, row.image, row.audio, row.frame_time_s, row.t0, row.t1, row.label),
                *(json.dumps(row.metadata, sort_keys=True), reader.boxes(row.id)),
            ]
            for row in reader.rows(reader.ids)
        )
        return sorted(found, key=repr)
