"""What a filter asks of values, said to each kind of database so that all give the same answer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from indexer.database.written import NUMBER, WRITTEN_NUMBER
from indexer.migrations.tables import TEXT


class MetadataText(FunctionElement[str]):
    """The value of a key in a JSON object, `MetadataText(object, key)`; NULL without one.

    Text is itself, a number as it was written, true and false are 1 and 0, a list is JSON.
    """

    type, inherit_cache = TEXT, True


class WrittenNumber(FunctionElement[float]):
    """The number that a text is, `WrittenNumber(text)`; NULL for other text (`written_number`)."""

    type, inherit_cache = Float(), True


class Alike(FunctionElement[bool]):
    """LIKE, `Alike(text, pattern)`: % and _ are wild, nothing escapes them, A to Z are a to z."""

    type, inherit_cache = Boolean(), True


@compiles(MetadataText, "sqlite")
def _(element: MetadataText, compiler: Any, **options: Any) -> str:
    metadata, key = (compiler.process(clause, **options) for clause in element.clauses)
    path = f"""'$."' || {key} || '"'"""
    # Of two values SQLite gives a list, with numbers as they stand; of one a number, rounded.
    twice = f"json_extract({metadata}, {path}, {path})"
    return (
        f"CASE WHEN json_type({metadata}, {path}) IN ('integer', 'real') "
        f"THEN substr({twice}, 2, (length({twice}) - 3) / 2) "
        f"ELSE CAST(json_extract({metadata}, {path}) AS VARCHAR) END"
    )


@compiles(MetadataText, "postgresql")
def _(element: MetadataText, compiler: Any, **options: Any) -> str:
    metadata, key = (compiler.process(clause, **options) for clause in element.clauses)
    return (
        f"(CASE WHEN json_typeof({metadata} -> {key}) <> 'boolean' THEN {metadata} ->> {key} "
        f"ELSE CASE {metadata} ->> {key} WHEN 'true' THEN '1' WHEN 'false' THEN '0' END END "
        'COLLATE "C")'
    )


@compiles(WrittenNumber, "sqlite")
def _(element: WrittenNumber, compiler: Any, **options: Any) -> str:
    return f"{WRITTEN_NUMBER}({compiler.process(element.clauses, **options)})"


@compiles(WrittenNumber, "postgresql")
def _(element: WrittenNumber, compiler: Any, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    return f"(CASE WHEN {text} ~ '^{NUMBER}$' THEN CAST({text} AS FLOAT) END)"


@compiles(Alike, "sqlite")
def _(element: Alike, compiler: Any, **options: Any) -> str:
    text, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({text}) LIKE {pattern}"


@compiles(Alike, "postgresql")
def _(element: Alike, compiler: Any, **options: Any) -> str:
    text, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f'lower({text} COLLATE "C") LIKE lower({pattern} COLLATE "C") ESCAPE \'\''
