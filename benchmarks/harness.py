"""What the benchmarks share: a clean environment, interleaved timing, and tables of ratios.

Import this module first. It removes variables with which a benchmark would measure somebody's
settings: OPENBLAS_*, which OpenBLAS reads once, when NumPy loads it, and PYTHONDONTWRITEBYTECODE,
which makes each process compile what was not installed with its bytecode.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
# In the order of the tables' columns.
LIBRARIES = {"numpy": "NumPy", "jax": "JAX", "torch": "PyTorch", "funcflow": "funcflow"}
UNITS = {"us": 1e6, "ms": 1e3, "MB": 1e-6, "states": 1.0}  # in a second, or in a byte

if "numpy" in sys.modules:
    raise ImportError("import harness before anything that imports numpy")
REMOVED = sorted(
    name for name in os.environ if name.startswith(("OPENBLAS_", "PYTHONDONTWRITEBYTECODE"))
)
for removed in REMOVED:
    del os.environ[removed]

Times = Mapping[str, float]  # library -> seconds


def with_installed_peers(*peers: str) -> list[str]:
    """The peers that can be imported here, then funcflow, which must be there."""
    if not importlib.util.find_spec("funcflow"):
        raise SystemExit("funcflow is not installed: pip install '.[bench]' in the checkout")
    return [*(name for name in peers if importlib.util.find_spec(name)), "funcflow"]


def interleave(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Medians of what the cases return, each called once a round and in turn.

    A case times itself and returns seconds. Taking turns lets a busy moment of the machine fall on
    every case alike, which is what makes the ratios of one run trustworthy. A first round, not
    counted, warms up.
    """
    samples = sample(cases, rounds)
    return {name: statistics.median(samples[name]) for name in cases}


def sample(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What the cases return, of every round but the first."""
    samples = [{name: case() for name, case in cases.items()} for _ in range(rounds + 1)]
    return {name: [times[name] for times in samples[1:]] for name in cases}


class Finished(NamedTuple):
    """What a fresh process returned, and the seconds from its start to its end."""

    result: Any
    seconds: float


def in_fresh_process(
    module: str, function: str, *arguments: Any, environment: Mapping[str, str] | None = None
) -> Finished:
    """Calls a function of a benchmark's module in a new interpreter.

    Arguments and result pass as JSON; `environment` is added to that of this process.
    """
    program = (
        f"import json, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import {module}; "
        f"print(json.dumps({module}.{function}(*json.loads(sys.argv[1]))))"
    )
    start = perf_counter()
    finished = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments)],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds = perf_counter() - start
    return Finished(json.loads(finished.stdout.splitlines()[-1]), seconds)


def run(
    name: str,
    title: str,
    measure: Callable[[int], Mapping[str, Times]],
    *,
    rounds: int,
    unit: str,
) -> None:
    """The command line of a benchmark: measures, prints, and rewrites the documents if asked.

    Args:
        name: the marked sections of the documents that hold the table, and the script's name.
        title: heads the table's first column.
        measure: takes the number of rounds; returns the times of each row of the table.
        rounds: how often to repeat, unless the user says so.
        unit: of the printed times.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"repeats (default {rounds})")
    parser.add_argument("--write", action="store_true", help="rewrite the tables in the documents")
    arguments = parser.parse_args()

    rows = measure(arguments.rounds)
    ratios = ratio_table(title, rows)
    print(f"{environment()}\n\nMedian times, {unit}:\n\n{time_table(title, rows, unit)}")
    print(f"\nfuncflow's time divided by the other's:\n\n{ratios}")
    if arguments.write:
        rewrite_section(ROOT / "README.md", name, ratios)
        measured_on = f"Measured on {environment()}."
        rewrite_section(ROOT / "docs" / "performance.md", name, f"{ratios}\n\n{measured_on}")


def time_table(title: str, rows: Mapping[str, Times], unit: str) -> str:
    """The times themselves, which hold on this machine and at this moment only."""
    cells = {
        label: {library: f"{seconds * UNITS[unit]:.2f}" for library, seconds in times.items()}
        for label, times in rows.items()
    }
    return markdown_table(title, cells)


def ratio_table(title: str, rows: Mapping[str, Times]) -> str:
    """The time of funcflow divided by that of each other library."""
    cells = {
        label: {
            library: f"{times['funcflow'] / seconds:.2f}x"
            for library, seconds in times.items()
            if library != "funcflow"
        }
        for label, times in rows.items()
    }
    return markdown_table(title, cells)


def markdown_table(title: str, cells: Mapping[str, Mapping[str, str]]) -> str:
    """One line for each label, one column for each library."""
    libraries = [name for name in LIBRARIES if any(name in row for row in cells.values())]
    header = [title, *(LIBRARIES[name] for name in libraries)]
    return markdown_lines(
        header, [[label, *(row[name] for name in libraries)] for label, row in cells.items()]
    )


def markdown_lines(header: Sequence[str], rows: Sequence[Sequence[str]], *, labels: int = 1) -> str:
    """A table whose first `labels` columns are words and whose others are numbers."""
    rule = ["---"] * labels + ["---:"] * (len(header) - labels)
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *rows])


def rewrite_section(document: Path, name: str, content: str) -> None:
    """Replaces what stands between `<!-- benchmark:name -->` and `<!-- /benchmark:name -->`."""
    opening, closing = f"<!-- benchmark:{name} -->", f"<!-- /benchmark:{name} -->"
    before, _, rest = document.read_text("utf-8").partition(opening)
    _, found, after = rest.partition(closing)
    if not found:
        raise ValueError(f"{document.name} has no section {opening} ... {closing}")
    document.write_text(f"{before}{opening}\n{content}\n{closing}{after}", "utf-8")


def environment() -> str:
    """One line on the machine and the versions that the numbers belong to."""
    parts = [processor(), f"{os.cpu_count()} cores", f"{platform.system()}"]
    parts.append(f"Python {platform.python_version()}")
    for library, title in LIBRARIES.items():
        try:
            parts.append(f"{title} {version(library)}")
        except PackageNotFoundError:
            continue
    if REMOVED:
        parts.append(f"without {', '.join(REMOVED)}")
    return ", ".join(parts)


def processor() -> str:
    """The processor's name, which Python itself does not know on Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text("utf-8"), re.MULTILINE)
        if named:
            return named[1]
    return platform.processor() or platform.machine()
