"""No pickle anywhere: what reads or sends one, or runs text as code, stands in no file of ours.

One exception: `encoder/labellers/numpy_pickle.py` reads the arrays out of SoundNet's published file
with a reader that admits nothing else; `test_encoder_labellers_pickle` attacks it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("encoder", "indexer", "retrieval", "train", "ui", "benchmarks")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
ARRAYS_ONLY = Path("encoder/labellers/numpy_pickle.py")
MODULES = {
    "pickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "multiprocessing",  # its queues, pools and pipes
    "torch.multiprocessing",
}
NAMES = {
    "ProcessPoolExecutor",
    "DataLoader",
    "read_pickle",
    "to_pickle",
    "broadcast_object_list",
    "scatter_object_list",
    "all_gather_object",
    "gather_object",
    "send_object_list",
    "recv_object_list",
}
BUILTINS = {"eval", "exec", "compile", "__import__"}


def defects(tree: ast.AST) -> Iterator[str]:
    """Name each place in a module that unpickles, pickles, or runs text."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if _is_in(alias.name, MODULES))
            case ast.ImportFrom(module=str(module), names=names):
                if [alias.name for alias in names] != ["UnpicklingError"]:
                    yield from [module] if _is_in(module, MODULES) else []
                yield from (alias.name for alias in names if alias.name in NAMES)
            case ast.Attribute(attr=name) if name in NAMES:
                yield name
            case ast.Call(func=ast.Name(id=name)) if name in BUILTINS:
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="load" | "save")):
                yield from [] if _given(node, "weights_only") is True else ["torch.load"]
            case ast.keyword(arg="allow_pickle", value=value):
                yield from [] if _constant(value) is False else ["allow_pickle"]


def _is_in(module: str, modules: set[str]) -> bool:
    return module in modules or any(module.startswith(f"{name}.") for name in modules)


def _given(call: ast.Call, name: str) -> object:
    return next((_constant(word.value) for word in call.keywords if word.arg == name), None)


def _constant(value: ast.expr) -> object:
    return value.value if isinstance(value, ast.Constant) else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_is_free_of_pickle(path: Path) -> None:
    found = list(defects(ast.parse(path.read_text(encoding="utf-8"))))
    wanted = ["pickle"] if path.relative_to(ROOT) == ARRAYS_ONLY else []
    assert found == wanted


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "from pickle import UnpicklingError, loads",
        "import multiprocessing.pool",
        "from multiprocessing import Queue",
        "from concurrent.futures import ProcessPoolExecutor",
        "import concurrent.futures as f; f.ProcessPoolExecutor()",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=trust)",
        "torch.save(network, path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "dist.all_gather_object(found, mine)",
        "eval(text)",
        "exec(text)",
    ],
)
def test_the_search_would_find_it(text: str) -> None:
    assert len(list(defects(ast.parse(text)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "from pickle import UnpicklingError",
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "np.load(path, allow_pickle=False)",
        "network.eval()",
        "json.load(file)",
    ],
)
def test_the_search_leaves_the_harmless(text: str) -> None:
    assert not list(defects(ast.parse(text)))
