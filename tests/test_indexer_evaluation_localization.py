"""Localization over an index: which items count and why not, twins by hand, order, bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_picture, write_sound, write_video

from encoder.config import tiny
from encoder.embedder import Embedder
from encoder.localization import (
    ADAPTIVE,
    HALF,
    MEDIAN,
    consensus_iou,
    ground_truth,
    masks_of,
    resize_maps,
)
from encoder.localization.boxes import AnnotatedBox
from encoder.localization.errors import AnnotationError
from encoder.two_stream import TwoStreamEncoder
from indexer.build import build_index
from indexer.errors import EncoderMismatch, FilterError
from indexer.evaluation import LocalizationFigures, LocalizationOptions, evaluate_localization
from indexer.evaluation.errors import OptionsInvalid
from indexer.evaluation.localization.items import LeftOut
from indexer.evaluation.localization.reading import fractions_of, read_candidates
from indexer.options import BuildOptions
from indexer.plan import Box
from indexer.reader import IndexReader

LABELS = ("bell", "drum", "car")
OPTIONS = LocalizationOptions(n_concat=6)
Row = dict[str, Any]


def box(*corners: float, annotator: str = "", kind: str = "object", tag: str = "") -> Row:
    return {"box": list(corners), "annotator": annotator, "kind": kind, "tag": tag}


def rows() -> list[Row]:
    """Twelve plain pairs, and one item for each way of being left out or asked differently."""
    plain = [
        {
            "image": f"p{n:02d}.png",
            "audio": f"p{n:02d}.wav",
            "label": LABELS[n % 3],
            "onscreen": "true",
            "boxes": [
                box(4 * (n % 5), 3, 30 + n, 40 - n, annotator=name, tag=LABELS[n % 3])
                for name in ("a1", "a2", "a3")
            ],
        }
        for n in range(12)
    ]
    two = {"image": "two.png", "audio": "two.wav", "label": "bell"}
    return [
        *plain,
        # One picture under two sounds, each with its place.
        two | {"boxes": [box(0, 0, 32, 48)], "id": "shared left"},
        two | {"audio": "p01.wav", "label": "drum", "boxes": [box(32, 0, 64, 48)]},
        # Two sources in one sound, told apart by tags.
        {
            "image": "mix.png",
            "audio": "mix.wav",
            "label": "bell",
            "boxes": [box(0, 0, 20, 20, tag="bell"), box(40, 20, 60, 40, tag="car")],
        },
        # Fractions of the frame.
        {"image": "q0.png", "audio": "q0.wav", "label": "car", "boxes": [box(0, 0, 0.5, 1)]},
        # Heard but not seen, and ambient.
        {"image": "off.png", "audio": "off.wav", "label": "car", "onscreen": "false"},
        *(
            {
                "image": f"wind{n}.png",
                "audio": f"wind{n}.wav",
                "label": "ambient",
                "onscreen": "false",
                "boxes": [box(2, 2, 60, 40, kind="ambient", tag="wind")],
            }
            for n in range(2)
        ),
        # Left out.
        {"image": "mute.png", "label": "car", "boxes": [box(0, 0, 10, 10)]},
        {"image": "far.png", "audio": "far.wav", "label": "car", "boxes": [box(0, 0, 90, 40)]},
        {"image": "dot.png", "audio": "dot.wav", "boxes": [box(5.001, 5.001, 5.002, 5.002)]},
        {
            "image": "torn.png",
            "audio": "torn.wav",
            "boxes": [
                box(0, 0, 9, 9, annotator="a"),
                box(0, 0, 9, 9, annotator="b", kind="ambient"),
            ],
        },
        {"video": "long.mp4", "label": "drum", "boxes": [box(0, 0, 32, 32)]},
        {
            "video": "cut.mp4",
            "start_s": 0,
            "end_s": 1,
            "label": "drum",
            "boxes": [box(0, 0, 8, 48)],
        },
        {"audio": "p02.wav", "label": "car"},
    ]


def write_corpus(folder: Path, order: Sequence[int] | None = None) -> Path:
    folder.mkdir(parents=True)
    listed = rows()
    for n, row in enumerate(listed):
        if "image" in row and not (folder / row["image"]).exists():
            write_picture(folder / row["image"], seed=n)
        if "audio" in row and not (folder / row["audio"]).exists():
            write_sound(folder / row["audio"], seed=100 + n, seconds=0.3)
        if "video" in row:
            write_video(folder / row["video"], seed=n, seconds=2)
    manifest = folder / "manifest.jsonl"
    in_order = [listed[at] for at in (order or range(len(listed)))]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in in_order), encoding="utf-8")
    return manifest


def build(folder: Path, embedder: Embedder, order: Sequence[int] | None = None) -> Path:
    manifest = write_corpus(folder, order)
    options = BuildOptions(window_s=1.0, workers=1)  # cuts the video without times in two
    return build_index(folder, embedder=embedder, manifest=manifest, options=options).index_dir


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    return build(tmp_path_factory.mktemp("boxes") / "corpus", tiny_embedder)


@pytest.fixture(scope="module")
def reader(index: Path) -> Iterator[IndexReader]:
    with IndexReader.open(index) as opened:
        yield opened


@pytest.fixture(scope="module")
def figures(reader: IndexReader, tiny_embedder: Embedder) -> LocalizationFigures:
    return evaluate_localization(reader, tiny_embedder, options=OPTIONS)


def by_image(reader: IndexReader) -> dict[str, int]:
    return {row.image: row.id for row in reader.rows(reader.ids) if row.image is not None}


# ── samples and rows ─────────────────────────────────────────────────────────────────────────────


def test_what_is_left_out_is_counted_and_named(figures: LocalizationFigures) -> None:
    assert figures.n_samples == 12 + 2 + 1 + 1 + 1  # plain, shared, mix, fractions, cut.mp4
    assert figures.exclusions == {
        "a box outside its frame": 1,
        "ambient boxes alone": 2,
        "annotators disagree on object or ambient": 1,
        "boxes without a sound": 1,
        "no boxes": 1,
        "no pixel's centre in its boxes": 1,
        "the same boxes at several times of one video": 2,
    }
    named = {entry.reason: entry.name for entry in figures.excluded}
    assert "far.png" in named["a box outside its frame"]
    assert "mute.png" in named["boxes without a sound"]
    assert figures.n_fraction_boxes == 1
    assert any("fractions" in note for note in figures.notes)


def test_rows_stand_with_the_degenerate_ones(figures: LocalizationFigures) -> None:
    kinds = ("attention", "response", "heatmap")
    thresholds = ("adaptive", "median", "fixed:0.5")
    assert [(row.kind, row.threshold) for row in figures.rows] == [
        (kind, threshold) for kind in kinds for threshold in thresholds
    ]
    assert [(row.name, row.threshold) for row in figures.baselines] == [
        *(("random map", threshold) for threshold in thresholds),
        ("centre box", ""),
        ("whole picture", ""),
    ]
    assert figures.primary == figures.row("attention", "adaptive")
    assert [row.annotator for row in figures.annotators] == ["", "a1", "a2", "a3"]
    assert [row.figures.mean.n for row in figures.annotators] == [5, 12, 12, 12]
    assert all(row.figures.success.n == figures.n_samples for row in figures.rows)


def test_a_sample_is_what_the_definitions_make_of_it(
    reader: IndexReader, tiny_embedder: Embedder, figures: LocalizationFigures
) -> None:
    item = by_image(reader)["p04.png"]
    looked = tiny_embedder.condition(reader.frame_map(item)[None], reader.sound(item).h)
    resized = resize_maps(looked.attention.reshape(1, *reader.grid))
    truth = ground_truth([AnnotatedBox(x0=16 / 64, y0=3 / 48, x1=34 / 64, y1=36 / 48)])
    agreement = truth.score_map((224, 224))[None]
    expected = consensus_iou(masks_of(resized, ADAPTIVE, agreement), agreement)[0]
    record = next(record for record in figures.samples if record.item == item)
    assert record.ciou == pytest.approx(expected)
    assert (record.label, record.name, record.n_annotators) == ("drum", "p04.png", 3)
    assert record.area == pytest.approx((34 - 16) / 64 * (36 - 3) / 48, abs=0.01)


def test_a_video_has_its_frames_size_and_its_own_boxes(
    reader: IndexReader, figures: LocalizationFigures
) -> None:
    record = next(record for record in figures.samples if record.name == "cut.mp4")
    assert record.area == pytest.approx(8 / 64, abs=0.01)


def test_the_heat_map_is_cut_like_the_attention(figures: LocalizationFigures) -> None:
    for threshold in ("adaptive", "median", "fixed:0.5"):
        attention, heat = (figures.row(kind, threshold) for kind in ("attention", "heatmap"))
        assert attention is not None
        assert heat is not None
        assert heat.figures.mean.mean == pytest.approx(attention.figures.mean.mean, abs=2e-3)


def test_json_holds_no_nan(figures: LocalizationFigures) -> None:
    values = json.loads(json.dumps(figures.to_json(), allow_nan=False))
    assert values["n_samples"] == figures.n_samples
    assert values["options"]["thresholds"] == ["adaptive", "median", "fixed:0.5"]
    assert values["rows"][0]["figures"]["success"]["n"] == figures.n_samples
    assert len(values["samples"]) == figures.n_samples


def test_figures_do_not_depend_on_the_order_of_the_manifest(
    tmp_path: Path, tiny_embedder: Embedder, figures: LocalizationFigures
) -> None:
    order = np.random.default_rng(1).permutation(len(rows())).tolist()
    with IndexReader.open(build(tmp_path / "corpus", tiny_embedder, order)) as shuffled:
        other = evaluate_localization(shuffled, tiny_embedder, options=OPTIONS)
    for name in ("rows", "baselines", "annotators", "splits", "interactive", "ambient"):
        assert getattr(other, name) == getattr(figures, name), name
    assert [(r.name, r.ciou) for r in other.samples] == [(r.name, r.ciou) for r in figures.samples]
    assert (other.concat, other.glued) == (figures.concat, figures.glued)
    assert other.exclusions == figures.exclusions


# ── splits, interactive, ambient, off-screen ─────────────────────────────────────────────────────


def test_three_disjoint_sets_of_samples(figures: LocalizationFigures) -> None:
    assert figures.splits is not None
    sizes = [split.success.n for split in figures.splits.splits]
    assert sum(sizes) == figures.n_samples
    # p01.wav ties one half of the shared picture to p01.png, so three samples go together.
    assert min(sizes) >= 4


def test_interactive_frames_by_shared_picture_and_by_tag(figures: LocalizationFigures) -> None:
    found = figures.interactive
    assert found is not None
    assert (found.n_shared, found.n_by_tag, found.found.n) == (1, 1, 2)
    assert found.sources.success.n == 4
    assert found.chance["whole picture"].mean == 0.5  # a half picture each: exactly 0.5


def test_ambient_sounds_meet_the_frames_of_objects(
    reader: IndexReader, tiny_embedder: Embedder, figures: LocalizationFigures
) -> None:
    found = figures.ambient
    assert found is not None
    assert found.n_ambient_sounds == 2
    assert found.auroc_max.n == 2 * figures.n_samples
    ids = [record.item for record in figures.samples]
    looked = tiny_embedder.condition(
        np.stack([reader.frame_map(item) for item in ids]),
        np.concatenate([reader.sound(item).h for item in ids]),
    )
    assert found.object_max.mean == pytest.approx(float(looked.response.max(axis=1).mean()))
    assert found.object_mean.mean == pytest.approx(float(looked.response.mean()), abs=1e-5)


def test_ambient_sounds_can_be_named_by_a_filter(
    reader: IndexReader, tiny_embedder: Embedder
) -> None:
    options = replace(OPTIONS, ambient_where="label = 'car' and onscreen = 'false'", n_concat=0)
    found = evaluate_localization(reader, tiny_embedder, options=options).ambient
    assert found is not None
    assert found.n_ambient_sounds == 1


def test_off_screen_sounds_are_not_ambient_ones(figures: LocalizationFigures) -> None:
    found = figures.onscreen
    assert found is not None
    assert (found.onscreen_max.n, found.offscreen_max.n) == (12, 1)


# ── options and bad input ────────────────────────────────────────────────────────────────────────


def test_a_filter_restricts_everything(reader: IndexReader, tiny_embedder: Embedder) -> None:
    options = replace(OPTIONS, where="label = 'drum'", thresholds=(HALF,), map_kinds=("response",))
    found = evaluate_localization(reader, tiny_embedder, options=options)
    assert {record.label for record in found.samples} == {"drum"}
    assert [(row.kind, row.threshold) for row in found.rows] == [("response", "fixed:0.5")]
    assert found.glued is None
    assert "two labels" in found.not_applicable["glued"]


def test_an_index_without_boxes_still_has_sides(small_corpus: Any, tiny_embedder: Embedder) -> None:
    with IndexReader.open(small_corpus.index) as opened:
        found = evaluate_localization(opened, tiny_embedder, options=OPTIONS)
    assert (found.n_samples, found.rows, found.samples) == (0, (), ())
    assert found.glued is not None
    assert found.glued.side_accuracy.n == 2 * OPTIONS.n_concat
    assert found.glued.maps is None
    assert set(found.not_applicable) == {
        "ambient",
        "concat",
        "interactive",
        "onscreen",
        "rows",
        "splits",
    }
    json.dumps(found.to_json(), allow_nan=False)


def test_pixels_and_fractions_can_be_said(reader: IndexReader) -> None:
    def read(units: str) -> tuple[dict[str, float], LeftOut]:
        left_out = LeftOut()
        options = LocalizationOptions(box_units=units)  # type: ignore[arg-type]
        found = read_candidates(reader, options, left_out)
        widths = {item.row.image: item.boxes[0].x1 for item in found.samples}
        return {str(name): width for name, width in widths.items()}, left_out

    assert read("auto")[0]["q0.png"] == 0.5
    assert read("px")[0]["q0.png"] == 0.5 / 64
    in_fractions, left_out = read("fraction")
    assert list(in_fractions) == ["q0.png"]
    assert left_out.counts["a box outside its frame"] > 15


def test_agreement_is_a_choice(reader: IndexReader, tiny_embedder: Embedder) -> None:
    strict = replace(OPTIONS, agreement="mean", n_concat=0)
    assert (
        "mean of the annotators"
        in evaluate_localization(reader, tiny_embedder, options=strict).notes[0]
    )


def test_boxes_can_come_from_a_published_file(
    tmp_path: Path, reader: IndexReader, tiny_embedder: Embedder
) -> None:
    entries = [
        {"file": "p00", "class": "bell", "bbox": [[0, 0, 0.5, 0.5]]},
        {"file": "p01", "class": "drum", "bbox": [[0, 0, 3, 3]]},
        {"file": "absent", "class": "drum", "bbox": [[0, 0, 1, 1]]},
    ]
    path = tmp_path / "vggss.json"
    path.write_text(json.dumps(entries))
    options = replace(OPTIONS, annotations=path, thresholds=(MEDIAN,), n_concat=0)
    found = evaluate_localization(reader, tiny_embedder, options=options)
    assert [(record.name, record.area) for record in found.samples] == [("p00.png", 0.25)]
    assert found.exclusions["a box outside its frame"] == 1
    assert found.exclusions["annotated, but not in the index"] == 1
    assert found.exclusions["not in the annotations"] > 10
    assert found.warnings[0].startswith("1 samples are few")
    with pytest.raises(AnnotationError):
        evaluate_localization(
            reader, tiny_embedder, options=replace(OPTIONS, annotations=tmp_path / "no.json")
        )


def test_another_encoder_is_refused(reader: IndexReader) -> None:
    other = Embedder(TwoStreamEncoder(tiny(), seed=1), name="other", device="cpu")
    with pytest.raises(EncoderMismatch, match="other"):
        evaluate_localization(reader, other)


def test_a_filter_that_does_not_parse_is_refused(
    reader: IndexReader, tiny_embedder: Embedder
) -> None:
    for options in (replace(OPTIONS, where="label ="), replace(OPTIONS, ambient_where="label =")):
        with pytest.raises(FilterError):
            evaluate_localization(reader, tiny_embedder, options=options)


def test_options_that_cannot_be_are_refused() -> None:
    for bad in ({"thresholds": ()}, {"map_kinds": ()}, {"n_agree": 0}, {"n_concat": -1}):
        with pytest.raises(OptionsInvalid):
            LocalizationOptions(**bad)  # type: ignore[arg-type]


class _Nan(Embedder):
    """The encoder of the index, but what it sees in every third look is not a number."""

    def condition(self, maps: Any, h: Any) -> Any:
        looked = super().condition(maps, h)
        looked.attention[::3] = np.nan
        return looked


def test_maps_with_nan_are_counted(
    reader: IndexReader, tiny_checkpoint: Path, figures: LocalizationFigures
) -> None:
    found = evaluate_localization(reader, _Nan.load(tiny_checkpoint, device="cpu"), options=OPTIONS)
    assert found.exclusions["a map with NaN or infinity"] > 6
    assert found.n_samples == figures.n_samples - 6
    assert np.isfinite([row.figures.mean.mean for row in found.rows]).all()
    json.dumps(found.to_json(), allow_nan=False)


def test_a_box_of_the_index_becomes_a_fraction() -> None:
    drawn = Box(x0=10, y0=0, x1=20, y1=5, annotator="a", kind="ambient", tag="wind")
    assert fractions_of([drawn], (40, 10)) == (
        AnnotatedBox(x0=0.25, y0=0, x1=0.5, y1=0.5, annotator="a", kind="ambient", tag="wind"),
    )
