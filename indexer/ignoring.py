"""What a person leaves out: `.retrievalignore`, include and exclude, in the syntax of gitignore."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import AnyStr

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from indexer.errors import PatternError

FILE = ".retrievalignore"
MAX_BYTES = 1 << 20
"""Of an ignore file: a thousand times what a person writes."""
MOST_DEEP = 4
"""`**` in one pattern: its time grows as the depth of a folder to the power of their number."""
_STAR = r"\[\^//\]\*"
_INNER_STAR = re.compile(
    rf"{_STAR}((?:\\.|\[\^?\]?(?:\\.|[^\]\\])*\](?!\*)|[^\\\[\]/()])*)(?={_STAR})", re.DOTALL
)
EXCLUDED, NOT_INCLUDED, IN_FILE = "excluded", "not included", f"in {FILE}"


class _Pattern(GitIgnoreSpecPattern):
    """A line of gitignore whose `[!a]` stands for no slash, as git has it and pathspec has not.

    Nor is a `*` before another one tried at more than one place, the first at which what follows
    it fits: more would find nothing else, in a time that grows with each `*` by a power.
    """

    @classmethod
    def pattern_to_regex(cls, pattern: AnyStr) -> tuple[AnyStr | None, bool | None]:
        regex, include = super().pattern_to_regex(pattern)
        if isinstance(regex, str):
            regex = _INNER_STAR.sub(r"(?>[^//]*?\1)", regex.replace("[^", "[^/"))
        return regex, include


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What `--include` and `--exclude` let through.

    Attributes
    ----------
    include : None lets everything through.
    """

    include: GitIgnoreSpec | None
    exclude: GitIgnoreSpec

    @classmethod
    def of(cls, include: Sequence[str], exclude: Sequence[str]) -> Choice:
        """Read patterns in the syntax of gitignore; raises PatternError."""
        return cls(
            include=_spec(include, "--include") if include else None,
            exclude=_spec(exclude, "--exclude"),
        )

    def why_not(self, path: str) -> str:
        """Return why a file is left out, empty where it is not; `path` is relative to the corpus.

        Examples
        --------
        >>> Choice.of(["*.wav"], ["raw/"]).why_not("raw/a.wav")
        'excluded'
        """
        if self.leaves_out(path):
            return EXCLUDED
        if self.include is not None and not self.include.match_file(path):
            return NOT_INCLUDED
        return ""

    def leaves_out(self, path: str) -> bool:
        """Say whether a file, or a folder with a slash behind it, is excluded."""
        return self.exclude.match_file(path)


@dataclass(frozen=True)
class IgnoreFiles:
    """The ignore files that hold for a folder: its own and those above it, the nearest last.

    Attributes
    ----------
    files : of each, where it stands (`sub/folder/`, empty for the corpus) and what it says.
    """

    files: tuple[tuple[str, GitIgnoreSpec], ...] = field(default=())

    def of_folder(self, folder: Path, at: str) -> IgnoreFiles:
        """Return what holds in a folder at `at`: all this, and a file that stands there.

        Raises
        ------
        PatternError : the file is unreadable, too large, no UTF-8, or has a line without a meaning.
        """
        path = folder / FILE
        if not path.is_file():
            return self
        return IgnoreFiles((*self.files, (at, _spec(_lines(path), str(path)))))

    def hide(self, path: str) -> bool:
        """Say whether a file, or a folder with a slash behind it, is left out.

        Parameters
        ----------
        path : relative to the corpus; all folders above it are known not to be left out.
        """
        for at, spec in reversed(self.files):
            name = path.removeprefix(at)
            for pattern in reversed(spec.patterns):
                found = pattern.match_file(name)
                if found and not _is_of_a_folder_above(found.match):
                    return bool(pattern.include)
        return False


def _is_of_a_folder_above(found: re.Match[str]) -> bool:
    """Say whether a pattern fits by a slash within the name: its one group is that slash."""
    return bool(found.lastindex) and found.end(found.lastindex or 0) < len(found.string)


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise PatternError(f"{path}: more than {MAX_BYTES} bytes; it is no list of patterns")
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise PatternError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except OSError as error:
        raise PatternError(f"{path}: {error.strerror or error}; look at the file") from None


def _spec(lines: Sequence[str], origin: str) -> GitIgnoreSpec:
    for number, line in enumerate(lines, start=1):
        where = origin if origin.startswith("--") else f"{origin} line {number}"
        if not line.startswith("#") and line.count("**") > MOST_DEEP:
            raise PatternError(f"{where}: {line!r} has more than {MOST_DEEP} `**`; take some out")
        try:
            if _is_unclear(line):
                raise ValueError("git passes over it, or reads it in a way of its own")
            _Pattern(line)
        except ValueError:
            raise PatternError(
                f"{where}: {line!r} is no pattern of gitignore; `git help gitignore` has the syntax"
            ) from None
    return GitIgnoreSpec.from_lines(lines, _Pattern, backend="simple")


def _is_unclear(line: str) -> bool:
    """Say whether a line names the corpus itself or a folder without a name, or has `***`."""
    text = line.strip()
    if not text or text.startswith("#"):
        return False
    return "//" in text or "***" in text or not text.lstrip("!").strip("/")
