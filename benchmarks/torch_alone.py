"""Runs a benchmark on a machine that has PyTorch with its companions and little else.

    python benchmarks/torch_alone.py benchmarks/training.py --device cuda

Libraries that are missing there are stood in for by empty modules: code that only imports them
runs, code that calls them fails.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

LIBRARIES = ("av", "filelock", "pyarrow", "safetensors", "soundfile")
"""What reads and writes files; no benchmark of a network needs it."""


class Missing(ModuleType):
    """A module of which every name is an empty exception class, so that it can be caught, too."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})


class StandIn(MetaPathFinder, Loader):
    """Finds the missing libraries and everything below them."""

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = missing

    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        is_missing = fullname.partition(".")[0] in self.missing
        return ModuleSpec(fullname, self, is_package=True) if is_missing else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Missing(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to execute."""


def main() -> None:
    script = Path(sys.argv[1])
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    print(f"stood in for: {', '.join(missing) or 'nothing'}", file=sys.stderr)
    sys.meta_path.append(StandIn(missing))
    sys.argv = sys.argv[1:]
    # The script's folder must not hide the package that bears its name.
    sys.path[0] = str(Path.cwd())
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
