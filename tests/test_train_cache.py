"""The packed cache: equal to decoding in memory, goes on after a kill, mends what is damaged."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_manifest, write_picture, write_sound, write_video
from hypothesis import given
from hypothesis import strategies as st

from encoder.config import tiny
from encoder.two_stream import TwoStreamEncoder
from train import cache as cache_module
from train import decoding
from train.bank import NONE, Bank, PackedBank, bank_of_pairs, bank_of_world, join
from train.bank_rows import JoinedBank
from train.cache import Shelf
from train.errors import PairsError, RoomError
from train.loop import train
from train.pairs import Pair, read_pairs
from train.recipe import Recipe
from train.records import Wanted

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def network() -> TwoStreamEncoder:
    return TwoStreamEncoder(tiny(), seed=0).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """8 pairs, a lone picture, a lone sound and a video; two rows share a picture."""
    rows = []
    for n in range(8):
        write_picture(tmp_path / f"{n}.png", seed=n)
        write_sound(tmp_path / f"{n}.wav", seed=50 + n, seconds=0.4)
        rows.append({"image": f"{min(n, 6)}.png", "audio": f"{n}.wav", "label": "ab"[n % 2]})
    write_video(tmp_path / "v.mp4", seed=1)
    rows += [{"image": "7.png", "label": "a"}, {"audio": "1.wav"}, {"video": "v.mp4"}]
    write_manifest(tmp_path / "m.csv", rows)
    return tmp_path


@pytest.fixture
def pairs(folder: Path) -> list[Pair]:
    return read_pairs(folder / "m.csv")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were decoded, in any order."""
    paths: list[Path] = []
    for name in ("read_frame", "read_sound"):
        read = getattr(decoding, name)

        def noted(path: Path, *args: object, _read: Callable[..., object] = read, **kw: object):  # type: ignore[no-untyped-def]
            paths.append(path)
            return _read(path, *args, **kw)

        monkeypatch.setattr(decoding, name, noted)
    return paths


def same(bank: Bank, other: Bank) -> bool:
    """Whether all rows see and hear the same, bit by bit."""
    for bank_of, other_of, n, at in (
        (bank.picture_of, other.picture_of, bank.n_pictures, "pictures_at"),
        (bank.sound_of, other.sound_of, bank.n_sounds, "sounds_at"),
    ):
        if not np.array_equal(bank_of, other_of):
            return False
        places = np.arange(n)[::-1].copy()
        if not torch.equal(getattr(bank, at)(places), getattr(other, at)(places)):
            return False
    rest = ("names", "contents", "n_pictures", "n_sounds")
    return all(getattr(bank, name) == getattr(other, name) for name in rest)


def test_a_packed_bank_equals_one_in_memory(
    folder: Path, pairs: list[Pair], network: TwoStreamEncoder, decoded: list[Path]
) -> None:
    slow = bank_of_pairs(pairs, network, picture_px=48)
    n_files = len(decoded)
    packed = bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")
    assert isinstance(packed, PackedBank)
    assert same(packed, slow)
    assert (slow.n_pictures, slow.n_sounds) == (9, 9)
    assert len(decoded) == 2 * n_files
    again = bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")
    assert same(again, slow)
    assert len(decoded) == 2 * n_files, "nothing is decoded twice"


def test_what_is_decoded_otherwise_lies_elsewhere(
    folder: Path, pairs: list[Pair], network: TwoStreamEncoder, decoded: list[Path]
) -> None:
    bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")
    decoded.clear()
    other = bank_of_pairs(pairs, network, picture_px=32, cache=folder / "c")
    assert other.pictures_at(np.arange(1)).shape == (1, 3, 32, 32)
    assert len(decoded) == other.n_pictures, "the sounds are the same"


def test_another_front_is_not_taken_for_the_cached_one(
    folder: Path,
    pairs: list[Pair],
    network: TwoStreamEncoder,
    decoded: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")
    decoded.clear()
    monkeypatch.setattr("encoder.sound.SILENCE", 1e-3)
    other = bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")
    assert len(decoded) == other.n_sounds
    assert same(other, bank_of_pairs(pairs, network, picture_px=48))


def test_only_rows_that_are_new_or_changed_are_decoded(
    folder: Path, pairs: list[Pair], network: TwoStreamEncoder, decoded: list[Path]
) -> None:
    bank_of_pairs(pairs[:5], network, picture_px=48, cache=folder / "c")
    decoded.clear()
    bank_of_pairs(pairs[:6], network, picture_px=48, cache=folder / "c")
    assert {path.name for path in decoded} == {"5.png", "5.wav"}
    decoded.clear()
    write_picture(folder / "2.png", seed=99)
    os.utime(folder / "3.wav", ns=(1, 1))
    changed = bank_of_pairs(pairs[:6], network, picture_px=48, cache=folder / "c")
    assert {path.name for path in decoded} == {"2.png", "3.wav"}
    assert same(changed, bank_of_pairs(pairs[:6], network, picture_px=48))


def test_a_decode_that_was_killed_goes_on(
    folder: Path,
    pairs: list[Pair],
    network: TwoStreamEncoder,
    decoded: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache_module, "BLOCK", 2)
    told: list[tuple[int, int]] = []

    def kill(done: int, total: int) -> None:
        told.append((done, total))
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c", on_file=kill)
    assert told == [(0, 18), (2, 18), (4, 18)]
    decoded.clear()
    told.clear()
    bank = bank_of_pairs(
        pairs, network, picture_px=48, cache=folder / "c", on_file=lambda *at: told.append(at)
    )
    assert told[0] == (4, 18)
    assert told[-1] == (18, 18)
    assert len(decoded) == 14
    assert same(bank, bank_of_pairs(pairs, network, picture_px=48))


def test_a_kill_between_records_and_lines_loses_a_block_alone(
    folder: Path, pairs: list[Pair], network: TwoStreamEncoder
) -> None:
    bank_of_pairs(pairs[:4], network, picture_px=48, cache=folder / "c")
    for shelf in (folder / "c").iterdir():
        with (shelf / "records.bin").open("ab") as file:
            file.write(b"half a record")
        with (shelf / "entries.jsonl").open("a") as lines:
            lines.write('{"at": 4, "path": "/some')
    bank = bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")
    assert same(bank, bank_of_pairs(pairs, network, picture_px=48))


@pytest.mark.parametrize("damage", ["flipped", "short", "gone", "line", "header", "lines gone"])
def test_damage_is_found_and_mended(
    folder: Path,
    pairs: list[Pair],
    network: TwoStreamEncoder,
    decoded: list[Path],
    damage: str,
) -> None:
    bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")
    (shelf,) = (folder / "c").glob("pictures-*")
    records, lines = shelf / "records.bin", shelf / "entries.jsonl"
    size = records.stat().st_size
    decoded.clear()
    if damage == "flipped":
        with records.open("r+b") as file:
            file.seek(size // 2)
            byte = file.read(1)
            file.seek(size // 2)
            file.write(bytes([byte[0] ^ 1]))
    elif damage == "short":
        os.truncate(records, size - 1)
    elif damage == "gone":
        records.unlink()
    elif damage == "line":
        text = lines.read_text().splitlines()
        lines.write_text("\n".join([text[0][:-9], "[1]", *text[2:]]) + "\n")
    elif damage == "header":
        (shelf / "header.json").write_text("{")
    else:
        lines.unlink()
    n_lost = {"flipped": 1, "short": 1, "line": 2}.get(damage, 9)
    mended = bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")
    assert len(decoded) == n_lost
    assert same(mended, bank_of_pairs(pairs, network, picture_px=48))


def test_files_that_cannot_be_read_are_named_and_the_others_kept(
    folder: Path, pairs: list[Pair], network: TwoStreamEncoder, decoded: list[Path]
) -> None:
    (folder / "0.png").write_text("no picture")
    (folder / "1.wav").unlink()
    with pytest.raises(PairsError, match=r"2 of 18 .*0\.png: unsupported"):
        bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")
    decoded.clear()
    usable = [pair for pair in pairs if not _names(pair) & {"0.png", "1.wav"}]
    bank_of_pairs(usable, network, picture_px=48, cache=folder / "c")
    assert decoded == []


def _names(pair: Pair) -> set[str]:
    return {part.path.name for part in (pair.picture, pair.sound) if part is not None}


def test_a_full_disk_is_named_before_anything_is_decoded(
    folder: Path,
    pairs: list[Pair],
    network: TwoStreamEncoder,
    decoded: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 10, 0))
    with pytest.raises(RoomError, match=r"9 decoded files take .* are free"):
        bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")
    assert decoded == []


def test_a_cache_that_cannot_be_written_is_named(
    folder: Path, pairs: list[Pair], network: TwoStreamEncoder
) -> None:
    (folder / "c").write_text("a file")
    with pytest.raises(RoomError, match="cannot be written"):
        bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")


def test_lines_say_what_records_are_of(
    folder: Path, pairs: list[Pair], network: TwoStreamEncoder
) -> None:
    bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")
    (shelf,) = (folder / "c").glob("sounds-*")
    header = json.loads((shelf / "header.json").read_text())
    assert (header["dtype"], header["shape"][0]) == ("float32", 64)
    entries = [json.loads(line) for line in (shelf / "entries.jsonl").read_text().splitlines()]
    (video,) = [entry for entry in entries if entry["path"].endswith("v.mp4")]
    assert video["span"] == [0.0, None]
    assert video["size"] == (folder / "v.mp4").stat().st_size


def test_packed_and_made_banks_are_joined(
    folder: Path, pairs: list[Pair], network: TwoStreamEncoder
) -> None:
    packed = bank_of_pairs(pairs, network, cache=folder / "c")
    world = bank_of_world(network, n_scenes=5, seed=1)
    both = join([packed, world])
    in_memory = join([bank_of_pairs(pairs, network), world])
    assert same(both, in_memory)
    assert both.labels.tolist() == in_memory.labels.tolist()
    assert both.pictures_at(np.array([], np.int64)).shape == (0, 3, 192, 192)
    some = both.only(both.picture_of != NONE)
    places = some.picture_of[::-2].copy()
    assert torch.equal(some.pictures_at(places), in_memory.pictures[places])


@given(st.lists(st.integers(0, 13), max_size=20))
def test_any_places_of_a_joined_bank_come_in_the_order_asked(places: list[int]) -> None:
    banks = [_counting(0, 4), _counting(4, 0), _counting(4, 10)]
    in_memory = join(banks)
    apart = JoinedBank(**vars(in_memory), parts=tuple(banks))
    for bank in (in_memory, apart):
        assert bank.pictures_at(np.array(places, np.int64)).flatten().tolist() == places


def _counting(first: int, n: int) -> Bank:
    values = torch.arange(first, first + n).reshape(n, 1)
    rows = np.arange(n)
    return Bank(
        pictures=values, sounds=values, picture_of=rows, sound_of=rows, labels=rows, names=()
    )


def test_training_from_the_cache_gives_the_same_weights(
    folder: Path, pairs: list[Pair], network: TwoStreamEncoder
) -> None:
    recipe = Recipe(
        steps=2, batch_size=4, crop_px=32, crop_s=0.5, world_share=0.0, mixed_precision=False
    )
    labelled = [pair for pair in pairs if pair.picture and pair.sound and pair.label]
    trained = []
    for cache in (None, folder / "c"):
        bank = bank_of_pairs(labelled, network, picture_px=48, cache=cache)
        trained.append(train(TwoStreamEncoder(tiny(), seed=1), bank, recipe).network.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_shelves_hold_any_shape(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    shelf = Shelf(tmp_path / "c", kind="sounds", parameters={}, shape=(2, 3), dtype=np.float32)
    assert len(shelf.reader()) == 0
    assert shelf.reader().take(np.array([], np.int64)).shape == (0, 2, 3)
    filled = shelf.filled(
        [Wanted(tmp_path / "a", (float(n),)) for n in range(3)],
        lambda n: np.full((2, 3), n, np.float32),
    )
    assert shelf.reader().take(filled.places[[2, 0]])[:, 0, 0].tolist() == [2, 0]


def test_records_that_are_cut_off_meanwhile_are_named(
    folder: Path, pairs: list[Pair], network: TwoStreamEncoder
) -> None:
    bank = bank_of_pairs(pairs, network, picture_px=48, cache=folder / "c")
    (shelf,) = (folder / "c").glob("pictures-*")
    os.truncate(shelf / "records.bin", 5 * 3 * 48 * 48 - 1)
    assert len(bank.pictures_at(np.arange(4))) == 4
    with pytest.raises(PairsError, match="record 4 is gone"):
        bank.pictures_at(np.array([0, 4]))
