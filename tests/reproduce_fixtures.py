"""A size that takes seconds, and a folder of data in the layout that `--list` documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from conftest import write_picture, write_sound, write_video

from train.reproduce.size import Size, small

TINY: Size = replace(
    small(),
    n_unlabelled=(4, 8),
    n_labelled=(2, 4),
    n_labelled_of_sets=(2, 4),
    n_few=2,
    n_test=16,
    n_database=16,
    n_duets=2,
    n_runs=2,
    n_random=2,
    map_px=32,
    recipe=replace(small().recipe, steps=2, batch_size=4, crop_px=64),
)
Corners = tuple[int, int, int, int]
LEFT: Corners = (0, 64, 128, 192)
RIGHT: Corners = (128, 64, 256, 192)


def write_pair(folder: Path, name: str, seed: int) -> None:
    for part in ("frames", "sounds"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    write_picture(folder / "frames" / f"{name}.jpg", seed)
    write_sound(folder / "sounds" / f"{name}.wav", seed)


def write_boxes(folder: Path, name: str, drawn: Sequence[tuple[Corners, str]]) -> None:
    """Write a box of each annotator with its tag, as Flickr-SoundNet's XML has them."""
    people = "".join(
        f"<subject><bbox><type>{tag}</type>"
        + "".join(f"<c>{corner}</c>" for corner in corners)
        + "</bbox></subject>"
        for corners, tag in drawn
    )
    (folder / "annotations").mkdir(exist_ok=True)
    text = f"<annotation>{people}</annotation>"
    (folder / "annotations" / f"{name}.xml").write_text(text, encoding="utf-8")


def write_data(folder: Path, *, n_annotated: int = 22, n_test: int = 6, n_plain: int = 9) -> Path:
    """Write pairs with and without boxes, lists, ambient pairs, duets, a clip and votes."""
    annotated = [f"1{number:03d}" for number in range(n_annotated)]
    for seed, name in enumerate(annotated):
        write_pair(folder, name, seed)
        write_boxes(folder, name, [((LEFT, RIGHT)[seed % 2], "object")] * 3)
    plain = [f"2{number:03d}" for number in range(n_plain)]
    for seed, name in enumerate(plain, start=100):
        write_pair(folder, name, seed)
    for seed, name in enumerate(("3000", "3001"), start=200):
        write_pair(folder, name, seed)
        write_boxes(folder, name, [(LEFT, "ambient")] * 3)
    (folder / "test.txt").write_text("".join(f"{name}.mp4\n" for name in annotated[:n_test]))
    (folder / "Flickr_train_144k.txt").write_text("\n".join(reversed(plain)) + "\n")
    write_duets(folder)
    (folder / "clips").mkdir()
    write_video(folder / "clips" / "clip.mp4", 5)
    (folder / "user-study.csv").write_text(
        "video,choice\n" + "a,ours\n" * 9 + "a,other\n" + "b,ours\n" * 8 + "b,similar\n" * 2
    )
    return folder


def write_duets(folder: Path) -> None:
    """Write two frames, one with two sounds and one with three."""
    lines = ["image,audio,boxes"]
    for frame, n_sounds in (("1000", 2), ("1001", 3)):
        for number in range(n_sounds):
            x0 = 0.3 * number
            box = f"[[{x0:.1f}, 0.2, {x0 + 0.3:.1f}, 0.8]]"
            lines.append(f'frames/{frame}.jpg,sounds/200{number}.wav,"{box}"')
    (folder / "interactive.csv").write_text("\n".join(lines) + "\n")
