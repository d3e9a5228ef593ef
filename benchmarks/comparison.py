"""Rows of funcflow against JAX and PyTorch: the same work, checked to be the same, timed in turn.

A script describes its tables, each a list of rows; `main` is its command line. A row of one
computation is a `Work`: a function written over `api`, which is JAX or funcflow, and a function of
torch's tensors. Inputs are in each library's own arrays before anything is timed, results are
waited for, and values that differ stop the row.
"""

import harness  # first: it cleans the environment

# isort: split
import argparse
import importlib
import math
import statistics
import sys
import time
import timeit
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

SAMPLE_SECONDS = 5e-3  # a call shorter than this is repeated, and the mean of its repeats taken
PAUSE_SECONDS = 0.03
DISTURBED = 2  # a median this many times the minimum was not measured in quiet
COPY = "copy"  # the column of a plain copy of the same bytes, which is no rival
BY_HAND = "by_hand"  # the column of a loop that somebody wrote for Numba
TWO_ROOTS = "two_roots"  # the column of twice the root of the number of steps
BARE = "bare"  # the column of the same loop without a bar
LOOP = "loop"  # the column of a training loop that somebody wrote
WITHOUT_WAITS = "without_waits"  # the column of the same loop less the time it waited
TITLES = {
    **harness.LIBRARIES,
    "torch_compile": "torch.compile",
    BY_HAND: "Numba by hand",
    BARE: "without a bar",
    LOOP: "loop by hand",
    WITHOUT_WAITS: "without waits",
    TWO_ROOTS: "2 sqrt(n)",
}

Program = Callable[[], Any]  # one call, its arguments bound, its result waited for
Measured = Mapping[str, float]  # library (or COPY) -> seconds or bytes


class Options(NamedTuple):
    """What the command line asks for."""

    rounds: int
    quick: bool = False
    torch_compile: bool = False


class Row(NamedTuple):
    """A line of a table; `target` is what funcflow's ratio to the best rival should not exceed."""

    work: str
    size: str
    target: float
    measure: Callable[[Options], Measured]

    def matches(self, names: Sequence[str]) -> bool:
        """Whether a name given by the user occurs in the row's label, or none is given."""
        label = f"{self.work}, {self.size}".lower()
        return not names or any(name.lower() in label for name in names)


class Table(NamedTuple):
    """A section of docs/performance.md: its name, the unit of its values, its rows.

    Those that say most of the library stand in the README too.
    """

    section: str
    rows: Sequence[Row]
    unit: str = "ms"
    in_readme: bool = False


class Work(NamedTuple):
    """One computation in all libraries.

    Attributes:
        function: `function(api)` is a function of arrays, to be jitted.
        torch: `torch(module)` is a function of tensors.
        inputs: makes the arguments, as NumPy arrays; called when the row is reached.
        moved: the bytes that the best possible kernel reads and writes, if the memory is the bound.
        tolerance: of the values, relative to the largest of an array.
    """

    function: Callable[[ModuleType], Callable[..., Any]]
    torch: Callable[[ModuleType], Callable[..., Any]]
    inputs: Callable[[], tuple[Any, ...]]
    moved: int | None = None
    tolerance: float = 1e-4


# --- programs -------------------------------------------------------------------------------


def load(library: str) -> ModuleType:
    """The library's module; PyTorch records no gradients unless a program asks for them."""
    module = importlib.import_module(library)
    if library == "torch":
        module.set_grad_enabled(False)
    return module


def waiting(api: ModuleType, call: Program) -> Program:
    """`call`, returning when its result is computed; waits in the cheapest way there is."""
    if hasattr(call(), "block_until_ready"):
        return lambda: call().block_until_ready()
    return lambda: api.block_until_ready(call())


def own_arrays(api: ModuleType, tree: Any) -> Any:
    """NumPy arrays as arrays of JAX or funcflow, copied so that they may be donated."""
    return api.tree.map(api.numpy.array, tree)


def jitted(api: ModuleType, function: Callable[..., Any], inputs: tuple[Any, ...]) -> Program:
    """A call of the compiled function."""
    compiled, arrays = api.jit(function), own_arrays(api, inputs)
    return waiting(api, lambda: compiled(*arrays))


def carrying(
    api: ModuleType, step: Callable[..., Any], state: Any, inputs: tuple[Any, ...]
) -> Program:
    """A call of the compiled `step(state, *inputs)`, which returns a result and the next state.

    The state is donated: its memory may hold the next one, as PyTorch's updates in place do.
    """
    compiled = api.jit(step, donate_argnums=0)
    arrays = own_arrays(api, inputs)

    def program() -> Any:
        nonlocal state
        result, state = api.block_until_ready(compiled(state, *arrays))
        return result, state

    return program


def tensors(torch: ModuleType, tree: Any) -> Any:
    """NumPy arrays in nested tuples, lists and dicts as tensors; indices have torch's own dtype."""
    if isinstance(tree, dict):
        return {name: tensors(torch, value) for name, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(tensors(torch, value) for value in tree)
    tensor = torch.from_numpy(np.array(tree))
    inexact = tensor.is_floating_point() or tensor.is_complex()
    return tensor if inexact else tensor.long()


def programs_of(work: Work, options: Options) -> dict[str, Program]:
    """The computation in each library that is installed, by name."""
    inputs = work.inputs()
    programs = {}
    for library in libraries():
        module = load(library)
        if library == "torch":
            function, arrays = work.torch(module), tensors(module, inputs)
            programs[library] = partial(function, *arrays)
            if options.torch_compile:
                programs["torch_compile"] = partial(module.compile(function), *arrays)
        else:
            programs[library] = jitted(module, work.function(module), inputs)
    return programs


def libraries(*rivals: str) -> list[str]:
    """funcflow, then the rivals that are installed: the order in which they take turns."""
    *peers, funcflow = harness.with_installed_peers(*(rivals or ("jax", "torch")))
    return [funcflow, *peers]


# --- measurement ----------------------------------------------------------------------------


def timed(work: Work) -> Callable[[Options], Measured]:
    """How a row of one computation is measured."""

    def measure(options: Options) -> Measured:
        programs = programs_of(work, options)
        check_equal({name: program() for name, program in programs.items()}, work.tolerance)
        return median_times(programs, options, work.moved)

    return measure


def median_times(
    programs: Mapping[str, Program], options: Options, moved: int | None = None
) -> Measured:
    """Medians of the programs' times, and of the time of a copy that moves as many bytes."""
    cases = {name: sampler(program) for name, program in programs.items()}
    if moved and "torch" in programs:
        cases[COPY] = sampler(plain_copy(moved))
    return medians(cases, options.rounds)


def medians(cases: Mapping[str, Callable[[], float]], rounds: int) -> Measured:
    """Medians of interleaved samples; says so where other work on the machine disturbed them.

    A library whose threads wait for each other, as PyTorch's do, becomes a thousand times slower
    when another process takes one of the cores, and then a ratio to it means nothing.
    """
    samples = harness.sample(cases, rounds)
    found = {name: statistics.median(times) for name, times in samples.items()}
    disturbed = [name for name, median in found.items() if median > DISTURBED * min(samples[name])]
    if disturbed:
        print(f"  disturbed, measure again: {', '.join(disturbed)}", file=sys.stderr)
    return found


def sampler(program: Program) -> Callable[[], float]:
    """Seconds of one call: the mean over enough calls to be seen by the clock.

    First comes a pause, in which the threads of the library whose turn it was go to sleep (OpenMP's
    spin for up to 20 ms by default, each on a core), then a call that is not counted, which brings
    the program's data back into the caches.
    """
    timer = timeit.Timer(program)
    timer.timeit(1)
    number = math.ceil(SAMPLE_SECONDS / timer.timeit(1))

    def case() -> float:
        time.sleep(PAUSE_SECONDS)
        timer.timeit(1)
        return timer.timeit(number) / number

    return case


def plain_copy(moved: int) -> Program:
    """Copies half as many bytes, each read once and written once, into memory in use.

    torch copies, on as many threads as it computes with: as many as there are cores.
    """
    torch = load("torch")
    source = torch.ones(moved // 8)
    target = torch.zeros(moved // 8)
    return lambda: target.copy_(source)


# --- values ---------------------------------------------------------------------------------


def leaves(tree: Any) -> list[np.ndarray]:
    """The arrays of nested tuples, lists and dicts, as NumPy's."""
    if isinstance(tree, dict):
        tree = [tree[name] for name in sorted(tree)]
    if isinstance(tree, tuple | list):
        return [leaf for item in tree for leaf in leaves(item)]
    return [np.array(tree)]


def check_equal(results: Mapping[str, Any], tolerance: float) -> None:
    """Raises AssertionError unless all libraries computed what funcflow did."""
    arrays = {library: leaves(result) for library, result in results.items()}
    expected = arrays.pop("funcflow")
    for library, got in arrays.items():
        if len(got) != len(expected):
            raise AssertionError(f"{library} returned {len(got)} arrays, not {len(expected)}")
        for x, y in zip(got, expected, strict=True):
            largest = float(np.max(np.abs(y), initial=0))
            np.testing.assert_allclose(
                x, y, rtol=tolerance, atol=tolerance * largest, err_msg=f"{library} and funcflow"
            )


# --- tables ---------------------------------------------------------------------------------


def main(title: str, tables: Callable[[bool], Sequence[Table]], *, rounds: int) -> None:
    """The command line of a script: measures, prints, and rewrites the document if asked.

    Args:
        title: what the script measures.
        tables: takes whether to be quick; returns the tables to fill.
        rounds: how often to repeat, unless the user says so.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("names", nargs="*", help="measure only rows whose label has one of these")
    parser.add_argument("--rounds", type=int, help=f"repeats (default {rounds}, quick 2)")
    parser.add_argument("--quick", action="store_true", help="few repeats of small sizes")
    parser.add_argument("--torch-compile", action="store_true", help="torch.compile as a rival too")
    parser.add_argument("--write", action="store_true", help="rewrite the tables in the document")
    arguments = parser.parse_args()
    if arguments.write and (arguments.names or arguments.quick):
        parser.error("--write takes all rows in full size: a table is of one run")

    repeats = arguments.rounds or (2 if arguments.quick else rounds)
    options = Options(repeats, arguments.quick, arguments.torch_compile)
    setting = f"{harness.environment()}; medians of {repeats}"
    print(f"{setting}\n")
    failed = False
    for table in tables(options.quick):
        rows = [row for row in table.rows if row.matches(arguments.names)]
        measured = [(row, values) for row in rows if (values := attempt(row, options))]
        failed |= len(measured) < len(rows)
        if measured:
            text = result_table(measured, table.unit)
            print(f"{text}\n")
            if arguments.write and len(measured) == len(rows):
                document = harness.ROOT / "docs" / "performance.md"
                content = f"{text}\n\nMeasured on {setting}."
                harness.rewrite_section(document, table.section, content)
                if table.in_readme:
                    harness.rewrite_section(harness.ROOT / "README.md", table.section, text)
    if failed:
        raise SystemExit("some rows could not be measured; their tables are not written")


def attempt(row: Row, options: Options) -> Measured | None:
    """Measures a row; one that fails is reported, and the others go on."""
    print(f"{row.work}, {row.size} ...", file=sys.stderr, flush=True)
    try:
        return row.measure(options)
    except Exception:
        traceback.print_exc()
        return None


def result_table(measured: Sequence[tuple[Row, Measured]], unit: str) -> str:
    """What each library took, and funcflow's ratio to the best of the others and to a copy."""
    present = {name for _, values in measured for name in values}
    columns = ["funcflow", *(name for name in TITLES if name in present - {"funcflow"})]
    copied = COPY in present
    header = ["Work", "Size", *(f"{TITLES[name]}, {unit}" for name in columns)]
    header += ["ratio to the better", "target", *(["ratio to a copy"] if copied else [])]
    lines = []
    for row, values in measured:
        cells = [figure(values.get(name), harness.UNITS[unit]) for name in columns]
        lines.append([row.work, row.size, *cells, best_ratio(values), f"{row.target:g}"])
        if copied:
            lines[-1].append(ratio(values, COPY) if COPY in values else "")
    return harness.markdown_lines(header, lines, labels=2)


def figure(value: float | None, factor: float) -> str:
    """Three digits that count, and no exponent."""
    if value is None:
        return ""
    scaled = value * factor
    digits = 2 - math.floor(math.log10(scaled)) if scaled > 0 else 0
    return f"{scaled:.{max(digits, 0)}f}"


def best_ratio(values: Measured) -> str:
    """The ratio of funcflow's value to the smallest of its rivals, which is named."""
    rivals = [name for name in values if name not in ("funcflow", COPY)]
    if not rivals:
        return ""
    best = min(rivals, key=lambda name: values[name])
    return f"{ratio(values, best)} of {TITLES[best]}"


def ratio(values: Measured, other: str) -> str:
    """The ratio of funcflow's value to another."""
    return f"{values['funcflow'] / values[other]:.3g}"
