from pathlib import Path
from benchmarks.store import Store
def write(store: Store, out: Path, *, compare_commits: bool) -> list[Path]:
    return []
