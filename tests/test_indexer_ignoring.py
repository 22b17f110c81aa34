"""What a person leaves out: ignore files as git reads them, include and exclude, links outwards."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from indexer_fixtures import build, options, write_pairs

from encoder.embedder import Embedder
from indexer.built_with import BuiltWith, remembered
from indexer.catalogue import Catalogue
from indexer.errors import NothingUsable, PatternError
from indexer.ignoring import FILE, MAX_BYTES, Choice
from indexer.reader import IndexReader
from indexer.scan import ScanReport, scan
from indexer.walk import Walk

TREE = (
    "a.png",
    "keep.png",
    "raw/a.png",
    "raw/deep/b.wav",
    "talks/raw/c.wav",
    "talks/keep.png",
    "talks/take 1.wav",
    "talks/x#1.wav",
    "talks/sub/keep.png",
    "talks/sub/d.wav",
    "zoo/d.wav",
)


def write_tree(folder: Path) -> Path:
    for name in TREE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"not looked at before a build")
    return folder


def ignore(folder: Path, *lines: str) -> None:
    (folder / FILE).write_text("\n".join(lines), encoding="utf-8")


def found(folder: Path, **changes: object) -> set[str]:
    """Every file that a scan takes in, whether it can be opened or not."""
    try:
        report = scan(folder, options=options(**changes))
    except NothingUsable:
        return set()
    return names_of(report)


def names_of(report: ScanReport) -> set[str]:
    failed = {failure.path for failure in report.failures}
    return failed | {part.source.path for item in report.items for part in item.parts}


IGNORE_FILES = [
    {"": ["raw/"]},
    {"": ["/raw/"]},
    {"": ["*.wav", "!zoo/*.wav"]},
    {"": ["# a comment", "", "*.png", "!keep.png"], "talks": ["keep.png"]},
    {"": ["*.png"], "talks": ["!*.png"], "talks/sub": ["*"]},
    {"": ["talks/**/keep.png", "take\\ 1.wav"], "raw": ["deep"]},
    {"": ["talks"], "talks": ["!keep.png"]},
    {"talks": ["/raw", "x\\#1.wav", "[cd].wav"]},
    {"talks": ["raw/c.wav", "sub/*.wav"], "zoo": ["d.*"]},
]


@pytest.mark.skipif(shutil.which("git") is None, reason="git says what its syntax means")
@pytest.mark.parametrize("files", IGNORE_FILES)
def test_ignore_files_mean_what_git_says(tmp_path: Path, files: dict[str, list[str]]) -> None:
    corpus = write_tree(tmp_path / "corpus")
    for folder, lines in files.items():
        ignore(corpus / folder, *lines)
    git_init(corpus)
    by_git = listed_by_git(corpus)
    assert len(by_git) < len(TREE)
    assert walked(corpus) == by_git


WORDS = ["a", "b", "d", "e", "*", "?", "**", "/", ".png", "[ab]", "[!a]", "!", "\\#", " ", "x[1]"]
LINE = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "", "!", "/"]),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map("".join),
    st.sampled_from(["", "", "/"]),
)
FOLDERS = ("", "d", "d/e", "ab", "ab/d")


@pytest.mark.skipif(shutil.which("git") is None, reason="git says what its syntax means")
@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.dictionaries(st.sampled_from(FOLDERS), st.lists(LINE, max_size=4), min_size=1))
def test_whatever_is_written_means_what_git_says(
    tmp_path: Path, files: dict[str, list[str]]
) -> None:
    if not (tmp_path / ".git").exists():
        git_init(tmp_path)
        for folder in FOLDERS:
            (tmp_path / folder).mkdir(exist_ok=True)
            for name in ("a.png", "b.wav", "ab.png", "a b.wav", "#a.wav", "!b.png", "x[1].png"):
                (tmp_path / folder / name).write_bytes(b"x")
    for folder in FOLDERS:
        ignore(tmp_path / folder, *files.get(folder, []))
    try:
        found_here = walked(tmp_path)
    except PatternError:  # git passes over such a line without a word
        reject()
    assert found_here == listed_by_git(tmp_path)


def git_init(corpus: Path) -> None:
    subprocess.run(["git", "init", "--quiet", corpus], check=True)


def listed_by_git(corpus: Path) -> set[str]:
    listing = ["git", "ls-files", "-z", "--others", f"--exclude-per-directory={FILE}"]
    listed = subprocess.run(listing, cwd=corpus, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.split("\0") if name and not name.endswith(FILE)}


def walked(corpus: Path) -> set[str]:
    walk = Walk(
        corpus,
        skipped=None,
        choice=Choice.of((), ()),
        follow_symlinks=False,
        ignored=Counter(),
        unread=[],
    )
    folders = list(walk.media_files())
    return {Path(name).relative_to(corpus).as_posix() for names in folders for name in names}


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    corpus = write_pairs(tmp_path, 3)
    write_pairs(tmp_path / "raw", 1)
    write_pairs(tmp_path / "old", 1)
    ignore(corpus, "raw/", "p000.*")
    report = scan(corpus, options=options(exclude=("old/", "p001.wav"), include=("*.png",)))
    assert names_of(report) == {"p001.png", "p002.png"}
    assert report.ignored == {
        "hidden or junk": 1,
        "in .retrievalignore": 2,
        "folder in .retrievalignore": 1,
        "folder excluded": 1,
        "excluded": 1,
        "not included": 1,
    }


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (("*.wav",), (), {"p000.wav", "sub/p001.wav"}),
        (("sub/",), (), {"sub/p001.png", "sub/p001.wav"}),
        ((), ("sub/",), {"p000.png", "p000.wav"}),
        (("/*.png", "sub/*.wav"), (), {"p000.png", "sub/p001.wav"}),
        (("*",), ("*.png", "!sub/*.png"), {"p000.wav", "sub/p001.png", "sub/p001.wav"}),
    ],
)
def test_include_and_exclude(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], expected: set[str]
) -> None:
    write_pairs(tmp_path, 1)
    write_pairs(tmp_path / "sub", 1, first=1)
    assert found(tmp_path, include=include, exclude=exclude) == expected


def test_include_and_exclude_hold_for_a_manifest_file_by_file(tmp_path: Path) -> None:
    write_pairs(tmp_path, 3)
    ignore(tmp_path, "*")  # a manifest names its files; the ignore file is for what is found
    rows = "".join(f"p00{n}.png,p00{n}.wav\n" for n in range(3))
    (tmp_path / "m.csv").write_text(f"image,audio\n{rows}")
    report = scan(tmp_path / "m.csv", options=options(exclude=("p000.*", "p001.wav")))
    assert names_of(report) == {"p001.png", "p002.png", "p002.wav"}
    assert len(report.items) == 2
    assert report.ignored == {"excluded": 3}


@pytest.mark.parametrize("content", [b"\xff\xfe*\n", b"a\n!\n", b"#" * (MAX_BYTES + 1)])
def test_an_ignore_file_without_a_meaning_is_refused(tmp_path: Path, content: bytes) -> None:
    write_pairs(tmp_path / "sub", 1)
    (tmp_path / "sub" / FILE).write_bytes(content)
    with pytest.raises(PatternError, match=r"sub/\.retrievalignore") as caught:
        scan(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_pattern_without_a_meaning_is_refused(tmp_path: Path) -> None:
    write_pairs(tmp_path, 1)
    with pytest.raises(PatternError, match=r"--exclude: 'a.+' is no pattern"):
        scan(tmp_path, options=options(exclude=("a\\",)))


@pytest.mark.parametrize("piece", ["*a", "*?", "*[ab]", "*[!b]", "**a", "*[]a]", "*\\a"])
def test_no_pattern_takes_long(piece: str) -> None:
    """Powers of the length would be hours; a second is room for a busy machine."""
    began = time.process_time()
    assert not Choice.of([], [piece * (4 if piece == "**a" else 20) + "*B"]).leaves_out("a" * 250)
    assert time.process_time() - began < 1


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_stars_match_as_in_any_shell(pattern: str, name: str) -> None:
    fits = fnmatch.fnmatchcase(name, pattern)
    if name and pattern:
        assert Choice.of([], ["/" + pattern.replace("**", "*")]).leaves_out(name) is fits


def test_a_pattern_of_many_depths_is_refused(tmp_path: Path) -> None:
    write_pairs(tmp_path, 1)
    ignore(tmp_path, "a/**/b/**/c/**/d/**/e", "a/**/b/**/c/**/d/**/e/**/f")
    with pytest.raises(PatternError, match=r"retrievalignore line 2: .* more than 4 `\*\*`"):
        scan(tmp_path)


def test_links_outwards_are_followed_where_that_is_allowed(tmp_path: Path) -> None:
    corpus = write_pairs(tmp_path / "corpus", 1)
    away = write_pairs(tmp_path / "away", 1, first=1)
    write_pairs(away / "deep", 1, first=2)
    (away / "deep" / "back").symlink_to(corpus)
    (away / "deep" / "round").symlink_to(away)
    (corpus / "linked").symlink_to(away)
    (corpus / "picture.png").symlink_to(away / "p001.png")
    (corpus / "loop").symlink_to(corpus / "loop")
    plain, followed = scan(corpus), scan(corpus, options=options(follow_symlinks=True))
    assert names_of(plain) == {"p000.png", "p000.wav"}
    assert plain.ignored == {"link out of the corpus": 3}
    assert names_of(followed) == {
        "p000.png",
        "p000.wav",
        "picture.png",
        *(f"linked/p001.{suffix}" for suffix in ("png", "wav")),
        *(f"linked/deep/p002.{suffix}" for suffix in ("png", "wav")),
    }
    assert followed.ignored == {
        "link to a folder": 1,
        "folder seen already": 1,
        "not media": 1,
    }


def test_links_never_lead_into_the_index(tmp_path: Path) -> None:
    corpus = write_pairs(tmp_path / "corpus", 1)
    write_pairs(tmp_path / "index", 1, first=1)
    (corpus / "linked").symlink_to(tmp_path)
    report = scan(corpus, index_dir=tmp_path / "index", options=options(follow_symlinks=True))
    assert names_of(report) == {"p000.png", "p000.wav"}


def test_a_manifest_names_files_outside_where_that_is_allowed(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    corpus = write_pairs(tmp_path / "corpus", 1)
    write_pairs(tmp_path, 2, first=1)
    names = ["p000.png", "../p001.png", str(tmp_path / "p002.png")]
    (corpus / "m.csv").write_text("\n".join(["image", *names]))
    refused = scan(corpus / "m.csv")
    assert [failure.code for failure in refused.failures] == ["outside-corpus"] * 2
    assert all("--follow-symlinks" in failure.message for failure in refused.failures)
    report = build(corpus / "m.csv", tiny_embedder, follow_symlinks=True)
    assert (report.n_items, report.n_failed) == (3, 0)
    with IndexReader.open(report.index_dir) as reader:
        shown = [row.image for row in reader.rows(reader.ids)]
        assert shown == names
        assert all(reader.locate(name).is_file() for name in names)


def test_an_index_remembers_what_it_was_built_with(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = write_pairs(tmp_path / "corpus", 2)
    (tmp_path / "m.csv").write_text("image\np000.png\np001.png\n")
    report = build(corpus, tiny_embedder, exclude=("p001.*",), window_s=5.0)
    with Catalogue.open(report.index_dir) as catalogue, catalogue.reading() as connection:
        first = remembered(connection)
    assert first == BuiltWith(manifest=None, window_s=5.0, exclude=("p001.*",))
    shutil.copy(tmp_path / "m.csv", corpus)
    build(corpus / "m.csv", tiny_embedder, include=("*.png",))
    with Catalogue.open(report.index_dir) as catalogue, catalogue.reading() as connection:
        second = remembered(connection)
    assert second == BuiltWith(manifest="m.csv", window_s=10.0, include=("*.png",))
    assert second.manifest_in(corpus) == corpus / "m.csv"


def test_a_name_that_is_no_utf8_can_be_left_out(tmp_path: Path) -> None:
    write_pairs(tmp_path, 1)
    (tmp_path / "p000.png").rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    ignore(tmp_path, "caf?.png")
    assert found(tmp_path) == {"p000.wav"}
