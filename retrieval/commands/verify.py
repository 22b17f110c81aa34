"""`retrieval verify`: is every byte of an index what was written, and if not, what then."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrieval.commands.options import (
    CheckpointOption,
    DeviceOption,
    IndexArgument,
    IndexOption,
    JsonOption,
)
from retrieval.commands.progress import say
from retrieval.exit_codes import ExitCode

if TYPE_CHECKING:
    from encoder.embedder import Embedder
    from indexer.repair import Repaired
    from indexer.verify import Damage, Verified

SCHEMA = "retrieval.verify/1"


def command(
    index: IndexArgument = None,
    index_option: IndexOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make damaged files anew, where others allow it.")
    ] = False,
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Read every byte of an index and name each damaged file with its remedy.

    --repair makes derived files anew: vectors and codes from the segments, compact maps from full
    ones. What is intact stays as it is. Maps that nothing can give back are given up, so that the
    index opens; the command that encodes their frames again is printed.

    Exit codes: 0 all is intact, or was made so; 5 something is damaged or was given up, or there
    is no index; 6 no encoder in the folder that was given; 7 another process is writing; 8 the
    index may not be written.
    """
    from retrieval.locate import find_index

    index_dir = find_index(index or index_option)
    if repair:
        _repair(index_dir, checkpoint, device, as_json)
    else:
        _verify(index_dir, as_json)


def _verify(index_dir: Path, as_json: bool) -> None:
    from indexer.verify import verify
    from retrieval import rendering

    found = verify(index_dir)
    _print(found, None, as_json)
    if found.is_intact:
        return
    if found.faults:
        say(f"to encode everything again: {found.encode_again}, with the other options then")
    if any(damage.fate != "encoded again" for damage in found.damaged):
        say(f"next: {rendering.command_line('verify', index_dir, '--repair')}")
    _say_encode_again(found, found.damaged)
    raise typer.Exit(ExitCode.INDEX)


def _repair(index_dir: Path, checkpoint: Path | None, device: str, as_json: bool) -> None:
    from indexer.repair import repair
    from retrieval.encoders import encoder_with

    def find(fingerprint: str) -> Embedder | None:
        return encoder_with(fingerprint, checkpoint, device=device)

    done = repair(index_dir, find)
    _print(done.before, done, as_json)
    _say_encode_again(done.before, done.before.damaged)
    if done.recall == "unknown":
        say(
            "the recall with the maps there are now was not measured, so each picture is scored in "
            "full; to measure it: `retrieval build-index CORPUS --refit-maps` with the encoder"
        )
    given_up = any(damage.fate == "given up" for damage in done.before.damaged)
    if given_up or not done.after.is_intact:  # it opens, and goes on with less than it had
        raise typer.Exit(ExitCode.INDEX)


def _say_encode_again(found: Verified, damaged: tuple[Damage, ...]) -> None:
    if any(damage.fate != "made anew" for damage in damaged):
        say(
            f"to encode again what is lost: {found.encode_again}, with the other options of the "
            "first build"
        )


def _print(found: Verified, done: Repaired | None, as_json: bool) -> None:
    from retrieval import rendering

    if as_json:
        typer.echo(rendering.as_json(verify_json(found, done)))
        return
    facts = [
        ("index", f"{found.index_dir} (generation {found.generation})"),
        ("read", f"{found.n_files} files, {rendering.byte_size(found.n_bytes)}"),
        ("damaged", str(len(found.damaged))),
        ("faults", str(len(found.faults))),
    ]
    for line in rendering.facts(facts):
        typer.echo(line)
    for fault in found.faults:
        typer.echo(f"  {fault}")
    if found.orphans:
        say(f"{len(found.orphans)} files belong to nothing; the next build or update sweeps them")
    if not found.damaged:
        return
    rows = [(one.path, one.reason, _remedy(one, done)) for one in found.damaged]
    for line in rendering.columns(("file", "what is wrong", "remedy"), rows):
        typer.echo(line)


def _remedy(damage: Damage, done: Repaired | None) -> str:
    if damage.fate == "made anew":
        return "verify --repair makes it anew" if done is None else "made anew"
    lost = f"{damage.n_sounds} sounds" if damage.n_sounds else f"{damage.n_frames} frames"
    if damage.fate == "encoded again":
        is_vectors = damage.n_frames or damage.n_sounds
        return f"{lost} must be encoded again" if is_vectors else "made anew when all is"
    given_up = "verify --repair goes on without it" if done is None else "given up"
    return f"{given_up}; {lost} must be encoded again"


def verify_json(found: Verified, done: Repaired | None = None) -> dict[str, Any]:
    """Return the object that `verify --json` prints."""
    after = found if done is None else done.after
    lost = any(damage.fate != "made anew" for damage in found.damaged)
    return {
        "schema": SCHEMA,
        "index": str(found.index_dir),
        "generation": found.generation,
        "n_files": found.n_files,
        "n_bytes": found.n_bytes,
        "damaged": [asdict(damage) for damage in found.damaged],
        "faults": [asdict(fault) for fault in found.faults],
        "orphans": list(found.orphans),
        "repair": None if done is None else {"recall": done.recall},
        "intact": after.is_intact,
        "encode_again": found.encode_again if lost else None,
    }
