"""`retrieval`: the command line. Parses, calls one function of the engine, renders.

Standard output carries the answer alone, all else goes to standard error. Errors become one line
and an exit code here and nowhere else (`retrieval.exit_codes`). A command's module imports the
engine when it runs, so that help needs neither torch nor faiss.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from retrieval.commands import (
    build,
    compact,
    demo,
    doctor,
    evaluate,
    finetune,
    index_facts,
    label,
    merge,
    query,
    remove,
    reproduce,
    scan,
    train,
    update,
    verify,
)
from retrieval.commands.progress import say
from retrieval.errors import KNOWN_ERRORS, one_line
from retrieval.exit_codes import CODES, Codes, ExitCode, exit_code

READ_ONLY = ("query", "info", "scan", "evaluate")
"""Commands of which a reader may have seen enough: `retrieval query … | head` is no failure."""


def all_codes() -> Codes:
    """Give the code of every error; asked when one has come, since some rows load the engine."""
    return (*CODES, *label.CODES, *evaluate.codes(), *finetune.CODES, *train.CODES)


EPILOG = (
    "Exit codes: 0 done, 1 unexpected, 2 usage, 3 query file, 4 corpus, 5 index, 6 encoder, "
    "7 locked, 8 storage, 130 interrupted. Environment: RETRIEVAL_INDEX, RETRIEVAL_CHECKPOINT, "
    "RETRIEVAL_DEVICE, RETRIEVAL_DEBUG, NO_COLOR."
)


class Commands(TyperGroup):
    """The group of all commands; the place where errors become exit codes."""

    debug = False
    """Whether this run shows tracebacks: `--debug`, or RETRIEVAL_DEBUG by typer's reading of it."""

    def invoke(self, ctx: Any) -> Any:
        self.debug = bool(ctx.params["debug"])
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            raise SystemExit(ExitCode.INTERRUPTED) from None
        except (*KNOWN_ERRORS, *train.KNOWN_ERRORS) as error:
            # Of the standard streams only stdout gets here: `say` lets go of a closed stderr.
            if isinstance(error, BrokenPipeError):
                _close_broken_pipe()
                if ctx.invoked_subcommand in READ_ONLY:
                    raise SystemExit(ExitCode.OK) from None
            if self.debug:
                raise
            _say_error(one_line(error))
            raise SystemExit(exit_code(error, all_codes())) from None


app = typer.Typer(
    cls=Commands,
    name="retrieval",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
app.command("scan")(scan.command)
app.command("build-index")(build.command)
app.command("update")(update.command)
app.command("remove")(remove.command)
app.command("compact")(compact.command)
app.command("merge")(merge.command)
app.command("query")(query.command)
app.command("info")(index_facts.command)
app.command("verify")(verify.command)
app.command("doctor")(doctor.command)
app.command("demo")(demo.command)
app.command("label")(label.command)
app.command("evaluate")(evaluate.command)
app.command("reproduce")(reproduce.command)
app.command("train")(train.command)
app.command("finetune")(finetune.command)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"retrieval {version('audio-visual-retrieval')}")
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="RETRIEVAL_DEBUG", help="Show tracebacks of errors."),
    ] = False,
) -> None:
    """Search audio-visual collections: sounds find pictures, pictures find sounds.

    Start with `retrieval build-index CORPUS`, then inside the corpus `retrieval query --audio
    clip.wav`. `retrieval demo` shows all of it on a small corpus that it makes.
    """


def main() -> None:
    """Run the command line: the console script `retrieval`."""
    _prepare_streams()
    # What Pillow finds odd in a picture's EXIF is no news for a person; what it cannot read is told
    # by the error. Here, since a library must not choose for its callers.
    warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
    commands = typer.main.get_command(app)
    assert isinstance(commands, Commands)
    try:
        commands()
    except Exception as error:  # the outermost boundary: a defect here still ends in one line
        if commands.debug:
            raise
        _say_error(
            f"unexpected {type(error).__name__}: {one_line(error)}; "
            "please report it with the output of RETRIEVAL_DEBUG=1"
        )
        sys.exit(ExitCode.FAILED)


def _prepare_streams() -> None:
    """Make standard streams that take every text; one that was closed (`>&-`) leads nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    # A path that the terminal's encoding lacks is shown escaped rather than ending the program.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _say_error(text: str) -> None:
    from retrieval.rendering import printable

    say(f"retrieval: error: {printable(text)}")


def _close_broken_pipe() -> None:
    """Point stdout at nothing, or the interpreter complains when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
