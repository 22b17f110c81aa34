"""A bank that decodes on demand says the same as one that was decoded beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_picture, write_sound, write_video

from encoder.config import tiny
from encoder.two_stream import TwoStreamEncoder
from train.bank import NONE, bank_of_pairs
from train.bank_on_demand import on_demand_bank, readable
from train.errors import PairsError
from train.pairs import Pair, Picture, Span


@pytest.fixture(scope="module")
def network() -> TwoStreamEncoder:
    return TwoStreamEncoder(tiny(), seed=0)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """A still with a sound, a video with a span of its own, a lone picture, a lone sound."""
    folder = tmp_path_factory.mktemp("files")
    write_picture(folder / "a.png", 1)
    write_picture(folder / "b.png", 2)
    write_sound(folder / "a.wav", 1, seconds=1.5)
    write_sound(folder / "c.wav", 3, seconds=0.4)
    write_video(folder / "v.mp4", 4)
    video = folder / "v.mp4"
    return [
        pair_of(Picture(folder / "a.png"), Span(folder / "a.wav", 0.25), "dog"),
        pair_of(Picture(video, 1.0), Span(video, 0.5, 1.5), "cat"),
        pair_of(Picture(folder / "b.png"), None, "dog"),
        pair_of(None, Span(folder / "c.wav"), None),
    ]


def pair_of(picture: Picture | None, sound: Span | None, label: str | None = None) -> Pair:
    return Pair(picture=picture, sound=sound, label=label, split=None)


def test_it_equals_the_bank_in_memory(pairs: list[Pair], network: TwoStreamEncoder) -> None:
    kept = bank_of_pairs(pairs, network, picture_px=64)
    found = on_demand_bank(pairs, network, picture_px=64)
    assert len(found) == len(kept) == 4
    assert (found.n_pictures, found.n_sounds) == (3, 3)
    assert found.names == kept.names == ("cat", "dog")
    assert found.labels.tolist() == kept.labels.tolist() == [1, 0, 1, NONE]
    assert found.paired.tolist() == kept.paired.tolist() == [0, 1]
    for row in range(4):
        if (place := found.picture_of[row]) != NONE:
            ours = found.pictures_at(np.array([place]))
            assert torch.equal(ours, kept.pictures_at(kept.picture_of[[row]]))
        if (place := found.sound_of[row]) != NONE:
            ours = found.sounds_at(np.array([place]))
            assert torch.equal(ours, kept.sounds_at(kept.sound_of[[row]]))


def test_several_at_once_come_in_the_order_asked_for(
    pairs: list[Pair], network: TwoStreamEncoder
) -> None:
    bank = on_demand_bank(pairs, network, picture_px=32)
    together = bank.pictures_at(np.array([2, 0, 2]))
    assert together.shape == (3, 3, 32, 32)
    alone = [bank.pictures_at(np.array([place]))[0] for place in (2, 0, 2)]
    assert torch.equal(together, torch.stack(alone))
    assert not torch.equal(together[0], together[1])


def test_rows_chosen_keep_their_files(pairs: list[Pair], network: TwoStreamEncoder) -> None:
    bank = on_demand_bank(pairs, network, picture_px=32)
    part = bank.at(np.array([1, 0]))
    assert part.picture_of.tolist() == [1, 0]
    assert torch.equal(part.pictures_at(part.picture_of), bank.pictures_at(np.array([1, 0])))


def test_readable_names_the_broken_file_and_counts(pairs: list[Pair], tmp_path: Path) -> None:
    broken, deaf = tmp_path / "broken.png", tmp_path / "deaf.wav"
    broken.write_bytes(b"no picture")
    deaf.write_bytes(b"no sound")
    told: list[tuple[int, int]] = []
    found = readable(
        [pairs[0], pair_of(Picture(broken), pairs[0].sound), pair_of(None, Span(deaf))],
        on_file=lambda done, total: told.append((done, total)),
    )
    assert found[0] is None
    assert "broken.png" in str(found[1])
    assert "deaf.wav" in str(found[2])
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_file_that_breaks_later_ends_the_training_with_its_name(
    tmp_path: Path, network: TwoStreamEncoder
) -> None:
    (tmp_path / "late.png").write_bytes(b"cut short")
    bank = on_demand_bank([pair_of(Picture(tmp_path / "late.png"), None)], network, picture_px=32)
    with pytest.raises(PairsError, match=r"late\.png.*take it out of the list"):
        bank.pictures_at(np.array([0]))
