"""Training end to end on a world that is small enough for a test; pairs, banks, samplers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from training_fixtures import write_split_world

from encoder.checkpoint import load_checkpoint
from encoder.config import paper, tiny
from encoder.two_stream import TwoStreamEncoder
from train.ahead import drawn_ahead
from train.averaging import average
from train.bank import NONE, Bank, bank_of_pairs, bank_of_world, join
from train.batches import Batches, Prepared
from train.errors import PairsError, RecipeError, TrainingDiverged
from train.figures import measure
from train.loop import Progress, train
from train.objective import Batch, Objective, glue
from train.optimiser import GRADIENT_NORM, rate_factor
from train.pairs import Pair, of_split, read_pairs
from train.recipe import Recipe
from train.report import main as report
from train.run import TrainingTask, run_training
from train.sampling import LabelSampler, RecordingSampler, Rows

QUICK = Recipe(steps=6, batch_size=8, crop_px=64, crop_s=1.0, world_share=0.0, validate_every=3)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of 24 scenes on disk; every third row is `val`."""
    return write_split_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def network() -> TwoStreamEncoder:
    return TwoStreamEncoder(tiny(), seed=0)


def test_pairs_read_from_a_manifest(world: Path) -> None:
    pairs = read_pairs(world)
    assert len(of_split(pairs, "train")) == 16
    assert len(of_split(pairs, "val")) == 8
    assert all(pair.picture and pair.sound and pair.label for pair in pairs)


def test_a_manifest_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match="no such manifest"):
        read_pairs(tmp_path / "none.csv")
    listed = tmp_path / "pairs.csv"
    listed.write_text("image,audio,label\nnot-there.jpg,not-there.wav,dog\n")
    with pytest.raises(PairsError, match="2 of 2 files are not there"):
        of_split(read_pairs(listed), "train")
    listed.write_text("image,audio,label\n,,dog\n")
    with pytest.raises(PairsError):
        read_pairs(listed)


def test_files_that_cannot_be_read_are_counted_and_named(
    tmp_path: Path, network: TwoStreamEncoder
) -> None:
    (tmp_path / "page.jpg").write_text("<html>no picture</html>")
    (tmp_path / "none.wav").write_bytes(b"")
    listed = tmp_path / "pairs.csv"
    listed.write_text("image,audio,label\npage.jpg,none.wav,dog\n")
    with pytest.raises(PairsError, match=r"2 of 2 .*page\.jpg: unsupported"):
        bank_of_pairs(read_pairs(listed), network)


def test_val_that_cannot_be_measured_is_refused_before_training(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.run.compact", tiny)
    text = world.read_text().splitlines()
    one_val = [line.replace(",val,", ",train,") if i > 3 else line for i, line in enumerate(text)]
    manifest = world.parent / "one-val.csv"
    manifest.write_text("\n".join(one_val) + "\n")
    with pytest.raises(PairsError, match="two labels"):
        run_training(TrainingTask(manifest=manifest, out=tmp_path / "o", recipe=QUICK))


@pytest.mark.parametrize("wrong", [{"crop_px": 100}, {"batch_size": 1}, {"world_share": 1.0}])
def test_recipes_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        Recipe(**wrong)


def test_a_batch_of_one_group_is_not_glued() -> None:
    batch = Batch(torch.rand(4, 3, 64, 64), torch.rand(4, 64, 50), torch.zeros(4))
    assert glue(batch, torch.Generator().manual_seed(0)) is None


def test_own_recordings_and_the_worlds_are_no_positives_of_each_other(
    network: TwoStreamEncoder,
) -> None:
    banks = [bank_of_world(network, n_scenes=6, seed=seed) for seed in (1, 2)]
    both = join(banks)
    rng = np.random.default_rng(0)
    groups = [
        RecordingSampler(both.only(np.arange(12) // 6 == part)).draw(6, rng).group
        for part in (0, 1)
    ]
    assert set(groups[0]).isdisjoint(groups[1])


def test_a_bank_decodes_every_file_once(world: Path, network: TwoStreamEncoder) -> None:
    pairs = read_pairs(world)[:4]
    reused = Pair(picture=pairs[0].picture, sound=pairs[1].sound, label=pairs[0].label, split=None)
    alone = Pair(picture=None, sound=pairs[0].sound, label=None, split=None)
    bank = bank_of_pairs([*pairs, reused, alone], network)
    assert (len(bank), len(bank.pictures), len(bank.sounds)) == (6, 4, 4)
    assert bank.picture_of[4] == bank.picture_of[0]
    assert bank.sound_of[4] == bank.sound_of[1]
    assert (bank.picture_of[5], bank.labels[5]) == (NONE, NONE)
    assert bank.paired.tolist() == [0, 1, 2, 3, 4]
    assert bank.sounds.shape[1] == 64, "log-mel bands"


def test_joined_banks_keep_their_labels_apart(network: TwoStreamEncoder) -> None:
    banks = [bank_of_world(network, n_scenes=6, seed=seed) for seed in (1, 2)]
    both = join(banks)
    assert len(both.names) == sum(len(bank.names) for bank in banks)
    assert set(both.labels[:6].tolist()).isdisjoint(both.labels[6:].tolist())
    assert torch.equal(both.pictures[both.picture_of[7]], banks[1].pictures[banks[1].picture_of[1]])
    assert torch.equal(both.sounds[both.sound_of[7]], banks[1].sounds[banks[1].sound_of[1]])


def labelled_bank(labels: list[int]) -> Bank:
    n = len(labels)
    return Bank(
        pictures=torch.zeros(n, 3, 192, 192, dtype=torch.uint8),
        sounds=torch.zeros(n, 64, 50),
        picture_of=np.arange(n),
        sound_of=np.arange(n),
        labels=np.array(labels),
        names=tuple(f"label {i}" for i in range(max(labels) + 1)),
    )


def test_samplers_pair_what_belongs_together() -> None:
    bank = labelled_bank([0, 0, 1, 1, 1, 2])
    rng = np.random.default_rng(0)
    rows = LabelSampler(bank).draw(60, rng)
    assert (bank.labels[rows.pictures] == rows.group).all()
    assert (bank.labels[rows.sounds] == rows.group).all()
    assert (rows.pictures != rows.sounds).any(), "re-paired within a label"
    recorded = RecordingSampler(bank).draw(4, rng)
    assert (recorded.pictures == recorded.sounds).all()
    with pytest.raises(PairsError, match="at least two"):
        LabelSampler(labelled_bank([0, 0]))


def test_a_run_saves_its_best_and_reports(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("train.run.compact", tiny)
    seen: list[Progress] = []
    out = tmp_path / "out"
    weights = tmp_path / "trunk.safetensors"
    save_file(TwoStreamEncoder(tiny(), seed=5).visual.trunk[0].state_dict(), weights)
    task = TrainingTask(manifest=world, out=out, recipe=QUICK, device="cpu", licence="CC0")
    trained = run_training(replace(task, init=str(weights)), on_progress=seen.append)
    assert [p.step for p in seen] == [1, 2, 3, 4, 5, 6]
    assert [p.step for p in seen if p.figures] == [3, 6]
    assert trained.figures is not None
    assert trained.figures.worst == max(p.figures.worst for p in seen if p.figures)
    loaded = load_checkpoint(out)
    assert loaded.facts["licence"] == "CC0"
    assert loaded.facts["recipe"]["steps"] == 6
    assert loaded.facts["init"] == "trunk.safetensors"
    card = (out / "MODEL_CARD.md").read_text()
    assert "began with the weights of `trunk.safetensors`" in card
    assert card.index("leak-free class mAP") < card.index("own-sound class mAP")
    assert report([str(world), "--checkpoint", str(out)]) == 0
    assert "leak-free class mAP, audio→image" in capsys.readouterr().out
    assert report([str(tmp_path / "none.csv"), "--checkpoint", str(out)]) == 2
    assert "no such manifest" in capsys.readouterr().err


@pytest.mark.parametrize("loss", ["infonce", "distance-ratio"])
def test_every_loss_can_be_minimised(network: TwoStreamEncoder, loss: Any) -> None:
    torch.manual_seed(0)
    batch = Batch(
        frames=torch.rand(8, 3, 64, 64), sounds=torch.randn(8, 64, 50), group=torch.arange(8) % 4
    )
    objective = Objective(Recipe(loss=loss), n_classes=4)
    glued = glue(batch, torch.Generator().manual_seed(0)) if loss == "infonce" else None
    weights = [*network.parameters(), *objective.parameters()]
    optimiser = torch.optim.Adam(weights, lr=1e-3)
    losses = []
    for _ in range(12):
        total = torch.stack(list(objective(network, batch, glued).values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(total.item())
    assert losses[-1] < 0.95 * losses[0]


def test_recordings_can_be_the_positives(world: Path, network: TwoStreamEncoder) -> None:
    bank = bank_of_pairs(read_pairs(world), network)
    seen: list[Progress] = []
    train(network, bank, replace(QUICK, positives="recording"), on_progress=seen.append)
    assert "classes" not in seen[-1].terms, "no labels are looked at"
    assert np.isfinite(seen[-1].loss)


def test_the_paper_preset_trains_by_the_papers_loss(world: Path) -> None:
    network = TwoStreamEncoder(paper(), seed=0)
    bank = bank_of_pairs(read_pairs(world)[:4], network)
    assert bank.sounds.shape == (4, 441_000), "20 s of waveform, tiled"
    recipe = replace(
        QUICK, steps=2, batch_size=2, loss="distance-ratio", positives="recording", crop_s=20.0
    )
    seen: list[Progress] = []
    before = network.sound.conv8.weight.detach().clone()
    train(network, bank, recipe, on_progress=seen.append)
    assert list(seen[-1].terms) == ["distance_ratio"]
    assert 0 <= seen[-1].loss <= 2
    assert not torch.equal(before, network.sound.conv8.weight), "trained jointly, as in the paper"


def test_a_seed_gives_a_run(world: Path) -> None:
    """Pictures and sounds are varied and frames glued; global randomness is not asked."""
    ends = []
    for seed in (0, 0, 1):
        network = TwoStreamEncoder(tiny(), seed=0)
        recipe = replace(QUICK, seed=seed, glued_share=0.5)
        trained = train(network, bank_of_pairs(read_pairs(world), network), recipe)
        ends.append(trained.network.state_dict())
    first, again, other = ends
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["fc_z2.weight"], other["fc_z2.weight"])


def test_a_loss_that_is_not_finite_stops_the_run(world: Path, network: TwoStreamEncoder) -> None:
    bank = bank_of_pairs(read_pairs(world), network)
    with torch.no_grad():
        network.fc9.bias.fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match=r"step 1: loss .*'matrix'.*picture .* and 5 more"):
        train(network, bank, QUICK)


def test_the_row_that_is_not_finite_is_named(world: Path, network: TwoStreamEncoder) -> None:
    bank = bank_of_pairs(read_pairs(world), network)
    bank.sounds[5] = float("nan")

    def name_of(rows: Rows) -> list[str]:
        return [f"file {sound}" for sound in rows.sounds]

    recipe = replace(QUICK, batch_size=24, positives="recording", glued_share=0.0)
    with pytest.raises(TrainingDiverged, match="in the batch of file 5; look at"):
        train(network, bank, recipe, name_of=name_of)


def test_a_gradient_that_is_not_finite_spoils_no_weights(
    world: Path, network: TwoStreamEncoder
) -> None:
    bank = bank_of_pairs(read_pairs(world), network)
    network.fc9.bias.register_hook(lambda gradient: gradient * float("inf"))
    before = network.fc9.weight.detach().clone()
    with pytest.raises(TrainingDiverged, match="its gradient"):
        train(network, bank, QUICK)
    assert torch.equal(before, network.fc9.weight)


def test_several_batches_make_a_step(world: Path, network: TwoStreamEncoder) -> None:
    """One step on two batches moves the weights by the mean of their gradients."""
    bank = bank_of_pairs(read_pairs(world), network)
    recipe = replace(QUICK, steps=1, accumulate=2, glued_share=0.0, mixed_precision=False)
    batches = Batches(bank, None, recipe, window_s=1.0, device=torch.device("cpu"))
    drawn = [batches.at(1, turn) for turn in range(2)]
    assert not np.array_equal(drawn[0].rows.sounds, drawn[1].rows.sounds)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        objective = Objective(recipe, len(bank.names))
    twin = TwoStreamEncoder(tiny(), seed=0).train()
    seen: list[Progress] = []
    train(network, bank, recipe, on_progress=seen.append)
    costs = [torch.stack(list(objective(twin, one.batch, None).values())).sum() for one in drawn]
    mean = torch.stack(costs).mean()
    mean.backward()
    assert seen[0].loss == pytest.approx(mean.item(), rel=1e-5)
    assert network.fc_z1.weight.grad is not None
    norm = torch.nn.utils.clip_grad_norm_(twin.parameters(), GRADIENT_NORM)
    assert torch.isfinite(norm)
    torch.testing.assert_close(
        network.fc_z1.weight.grad, twin.fc_z1.weight.grad, rtol=1e-3, atol=1e-6
    )


def test_a_batch_is_a_function_of_seed_step_and_turn(
    world: Path, network: TwoStreamEncoder
) -> None:
    bank = bank_of_pairs(read_pairs(world), network)

    def frames(seed: int, step: int, turn: int) -> Tensor:
        recipe = replace(QUICK, seed=seed)
        batches = Batches(bank, None, recipe, window_s=1.0, device=torch.device("cpu"))
        return batches.at(step, turn).batch.frames

    asked = [(0, 3, 1), (1, 3, 1), (0, 4, 1), (0, 3, 0)]
    first, *others = [frames(*one) for one in asked]
    assert torch.equal(first, frames(*asked[0]))
    assert not any(torch.equal(first, other) for other in others)


def test_batches_made_ahead_are_the_same(world: Path, network: TwoStreamEncoder) -> None:
    bank = bank_of_pairs(read_pairs(world), network)
    recipe = replace(QUICK, accumulate=2, glued_share=0.5)
    batches = Batches(bank, None, recipe, window_s=1.0, device=torch.device("cpu"))
    places = [(step, turn) for step in range(3, 8) for turn in range(2)]
    with drawn_ahead(batches, first_step=3, n_ahead=3) as drawn:
        for place, one in zip(places, drawn, strict=False):
            other = batches.at(*place)
            assert torch.equal(one.batch.frames, other.batch.frames)
            assert torch.equal(one.batch.sounds, other.batch.sounds)
            assert (one.glued is None) == (other.glued is None)
            assert one.seed == other.seed


def test_a_file_that_breaks_ahead_is_told(world: Path, network: TwoStreamEncoder) -> None:
    bank = bank_of_pairs(read_pairs(world), network)

    class Broken(Batches):
        def prepared(self, step: int, turn: int) -> Prepared:
            if step == 3:
                raise PairsError("gone.wav: missing; take it out of the list")
            return super().prepared(step, turn)

    batches = Broken(bank, None, QUICK, window_s=1.0, device=torch.device("cpu"))
    with drawn_ahead(batches, first_step=1, n_ahead=4) as drawn:
        assert len([next(drawn), next(drawn)]) == 2
        with pytest.raises(PairsError, match=r"gone\.wav"):
            next(drawn)


def test_some_steps_hear_two_sounds_at_once(world: Path, network: TwoStreamEncoder) -> None:
    bank = bank_of_pairs(read_pairs(world), network)
    recipe = replace(QUICK, glued_share=0.5, mixed_share=0.5)
    batches = Batches(bank, None, recipe, window_s=1.0, device=torch.device("cpu"))
    drawn = [batches.at(step, 0) for step in range(1, 21)]
    kinds = {(one.glued is None, one.batch.mixed is None) for one in drawn}
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}
    for one in drawn:
        if one.glued is not None and one.batch.mixed is not None:
            assert torch.equal(one.batch.mixed.other[one.glued.left], one.glued.right)


def test_averaged_weights_move_towards_the_network() -> None:
    kept, new = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    before, target = kept.weight.item(), new.weight.item()
    average(kept, new, 0.75)
    assert kept.weight.item() == pytest.approx(0.75 * before + 0.25 * target)


def test_the_rate_warms_up_and_ends_at_nothing() -> None:
    factors = [rate_factor(step, 1000) for step in range(1001)]
    assert factors[0] < 0.02
    assert max(factors) > 0.95
    assert factors[1000] == pytest.approx(0)


def test_a_constant_rate_warms_up_and_stays() -> None:
    factors = [rate_factor(step, 1000, annealed=False) for step in range(1001)]
    assert factors[0] == pytest.approx(0.01)
    assert factors[99:] == [1.0] * 902


class Leak(TwoStreamEncoder):
    """Writes the sound into f_v by the cell it selects; what the picture shows does not matter."""

    def __init__(self) -> None:
        super().__init__(tiny())
        self.sound = OneHot()  # type: ignore[assignment]
        with torch.no_grad():
            self.log_scale.fill_(3.9)
            for fc in (self.fc9, self.fc10, self.fc_z1, self.fc_z2):
                fc.weight.copy_(torch.eye(*fc.weight.shape))

    def encode_frame(self, frame: Tensor) -> Tensor:
        return torch.eye(16, 512).expand(len(frame), -1, -1)


class OneHot(torch.nn.Module):
    def from_front(self, sound: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(sound[:, 0, 0].long(), 1000).float()


def test_the_swap_test_finds_a_leak() -> None:
    bank = labelled_bank([i % 4 for i in range(24)])
    bank = replace(bank, sounds=torch.from_numpy(bank.labels)[:, None, None].expand(-1, 64, 50))
    figures = measure(Leak().eval(), bank, frame_px=64)
    assert figures.own_sound_audio_to_image.mean == pytest.approx(1), "shining"
    assert figures.swapped_audio_to_image.mean < figures.chance, "and all of it is the leak"
    assert figures.leak_free_audio_to_image.mean <= figures.chance
    assert figures.side_accuracy.mean < 0.6
