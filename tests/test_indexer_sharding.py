"""Shards: disjoint, together the whole corpus, and what shares a file in one of them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from command_line import run
from conftest import write_video
from hypothesis import given
from hypothesis import strategies as st
from indexer_fixtures import build, options, write_pairs

from encoder.embedder import Embedder
from indexer.errors import NothingUsable, ShardError
from indexer.plan import FailureRow, FramePart, PlannedItem, SoundPart, Source, item_key
from indexer.scan import scan
from indexer.sharding import Shard, items_of
from retrieval.exit_codes import ExitCode

FILES = st.one_of(st.none(), st.integers(0, 12))


def item_of(image: int | None, audio: int | None) -> PlannedItem:
    frame, sound = None, None
    if image is not None:
        frame = FramePart(
            source=Source(path=f"é{image}.png", kind="image", size=1, mtime_ns=1), time_s=image
        )
    if audio is not None:
        sound = SoundPart(source=Source(path=f"{audio}.wav", kind="audio", size=1, mtime_ns=1))
    failed = (FailureRow(path="gone.png", code="missing", message=""),) if not image else ()
    return PlannedItem(
        key=item_key(frame, sound), kind="pair", frame=frame, sound=sound, failures=failed
    )


@given(st.lists(st.tuples(FILES, FILES), max_size=40), st.integers(1, 9), st.randoms())
def test_shards_are_the_corpus_and_share_no_file(pairs, total, shuffled) -> None:
    items = [item_of(*pair) for pair in pairs]
    shards = [items_of(Shard(number=n, total=total), items) for n in range(1, total + 1)]
    assert sorted(map(id, items)) == sorted(id(item) for part in shards for item in part)
    files = [{part.source.path for item in part for part in item.parts} for part in shards]
    assert sum(map(len, files)) == len(set().union(*files))
    for part in shards:
        places = [next(n for n, one in enumerate(items) if one is item) for item in part]
        assert places == sorted(places)
    mixed = list(items)
    shuffled.shuffle(mixed)
    again = items_of(Shard(number=1, total=total), mixed)
    assert sorted(map(id, again)) == sorted(map(id, shards[0]))


def test_shards_are_about_equal() -> None:
    items = [item_of(n, n) for n in range(8000)]
    sizes = [len(items_of(Shard(number=n, total=8), items)) for n in range(1, 9)]
    assert 850 < min(sizes) <= max(sizes) < 1150


def test_the_part_of_a_file_is_the_same_for_ever() -> None:
    groups = ["a.png", "küche/b.wav", "clip.mp4"]
    parts = [[n for n in range(1, 5) if Shard(number=n, total=4).holds(g)] for g in groups]
    assert parts == [[3], [1], [2]]  # as it came out when shards were new


@pytest.mark.parametrize(
    "text", ["", "1", "0/4", "5/4", "-1/4", "1/0", "a/b", "1/4/2", "1 / 4", "１/4"]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ShardError, match="shard"):
        Shard.parse(text)


def test_scans_of_shards_are_the_scan_of_the_whole(tmp_path: Path) -> None:
    write_pairs(tmp_path, 6)
    write_video(tmp_path / "clip.mp4", 1, seconds=4)
    rows = [{"image": f"p00{n}.png", "audio": f"p00{n // 2}.wav"} for n in range(6)]
    rows += [
        {"video": "clip.mp4"},
        {"image": "p000.png"},
        {"image": "p000.png"},
        {"audio": "no.wav"},
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for corpus in (tmp_path, tmp_path / "m.jsonl"):
        whole = scan(corpus, options=options(window_s=1.0))
        found = []
        for number in range(1, 4):
            shard = Shard(number=number, total=3)
            with suppress(ShardError, NothingUsable):  # a shard that is empty, or of a bad row
                found += scan(corpus, options=options(window_s=1.0, shard=shard)).items
        assert usable(found) == usable(whole.items)
        assert len(found) == len({item.key for item in found})


def usable(items: list[PlannedItem]) -> list[tuple[str, str]]:
    return sorted((item.key, item.stamp) for item in items if item.parts)


def test_each_shard_has_an_index_of_its_own(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = write_pairs(tmp_path, 8)
    shards = [Shard(number=n, total=2) for n in (1, 2)]
    reports = [build(corpus, tiny_embedder, shard=shard) for shard in shards]
    assert [r.index_dir for r in reports] == [corpus / shard.folder for shard in shards]
    assert sum(report.n_items for report in reports) == 8
    again = build(corpus, tiny_embedder, shard=shards[0])
    assert (again.n_new, again.n_items) == (0, reports[0].n_items)
    assert scan(corpus).n_items == {"pair": 8}


def test_an_index_takes_in_no_other_shard(tmp_path: Path, tiny_checkpoint: Path) -> None:
    write_pairs(tmp_path / "corpus", 8)
    arguments = ("build-index", tmp_path / "corpus", "--checkpoint", tiny_checkpoint)
    own = ("--index", tmp_path / "index")
    assert run(*arguments, *own, "--shard", "1/2").exit_code == 0
    refused = run(*arguments, *own, "--shard", "2/2")
    assert refused.exit_code == ExitCode.USAGE
    assert "the index holds shard 1/2" in refused.stderr
    whole = run(*arguments, *own, "--json")
    assert json.loads(whole.stdout)["n_items"] == 8
    assert run(*arguments, *own, "--shard", "1/2").exit_code == ExitCode.USAGE
    assert run(*arguments, "--shard", "3/2").exit_code == ExitCode.USAGE


def test_an_empty_shard_says_so_and_makes_nothing(tmp_path: Path, tiny_embedder: Embedder) -> None:
    write_pairs(tmp_path, 1)
    outcomes = []
    for number in (1, 2):
        try:
            outcomes.append(build(tmp_path, tiny_embedder, shard=Shard(number=number, total=2)))
        except ShardError as error:
            outcomes.append(str(error))
    assert sorted(type(one).__name__ for one in outcomes) == ["BuildReport", "str"]
    assert len(list((tmp_path / ".retrieval-shards").iterdir())) == 1
