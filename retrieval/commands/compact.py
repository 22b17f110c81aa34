"""`retrieval compact`: the space of what is hidden, given back."""

from __future__ import annotations

from dataclasses import asdict

import typer

from retrieval.commands.options import IndexArgument, IndexOption, JsonOption
from retrieval.commands.progress import say

SCHEMA = "retrieval.compact/1"


def command(
    index: IndexArgument = None, index_option: IndexOption = None, as_json: JsonOption = False
) -> None:
    """Drop what was removed or replaced from the files of an index, and join small segments.

    Nothing is embedded and no answer changes. Readers go on with what they have opened.
    """
    from indexer.compaction import compact_index
    from retrieval import rendering
    from retrieval.locate import find_index

    index_dir = find_index(index or index_option)
    done = compact_index(index_dir)
    if as_json:
        facts = {"schema": SCHEMA, "index": str(index_dir)}
        typer.echo(rendering.as_json(facts | asdict(done)))
        return
    if done.generation is None:
        say("nothing to do: nothing is hidden, and no two segments are small")
        return
    facts_shown = [
        ("index", f"{index_dir} (generation {done.generation})"),
        ("dropped", f"{done.n_dropped} items"),
        ("segments", f"{done.n_rewritten} rewritten as {done.n_written}"),
        ("freed", rendering.byte_size(max(done.bytes_freed, 0))),
    ]
    for line in rendering.facts(facts_shown):
        typer.echo(line)
