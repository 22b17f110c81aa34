"""What training and evaluation take from the indexer needs neither FAISS nor SQL nor torch."""

from __future__ import annotations

import subprocess
import sys


def test_metrics_and_exact_rankings_load_light() -> None:
    code = (
        "import sys, indexer.metrics, indexer.conditional, indexer.blocks, indexer.neighbours;"
        "print(sorted({'faiss', 'sqlalchemy', 'torch', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
