"""Loops and their derivatives: solvers, recurrent nets, loops and branches per lane, HMC, bars."""

import comparison  # first: it cleans the environment

# isort: split
import io
import timeit
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, redirect_stderr
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import loop_programs as programs
import loops_by_hand as by_hand
import models
import numpy as np
from comparison import BARE, BY_HAND, TWO_ROOTS, Measured, Options, Program, Row, Table
from compile_times import in_cold_process

SITES = 60  # of the ring
DEAR_SHARE = 0.01  # of the lanes in the dear branch
LONG_ROUNDS = 2  # of what takes many seconds
FIRST_CALL_STEPS = 100  # so few that running them takes no time


class Sizes(NamedTuple):
    """How much of everything."""

    lorenz: int = 100_000  # steps
    ring: int = 10_000
    recurrent: int = 1_000
    scalar: int = 100_000
    lanes: int = 10_000
    elements: int = 10**6
    chains: int = 1_000
    transitions: int = 1_000
    shown: int = 3_000_000  # steps under a bar
    kept: int = 1_000_000  # steps of which few are kept


QUICK = Sizes(10_000, 1_000, 100, 10_000, 1_000, 10**5, 100, 50, 300_000, 10_000)


class Case(NamedTuple):
    """A program, and what makes the scope that it is called in, which is not part of its time."""

    program: Program
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext

    def result(self) -> Any:
        with self.scope():
            return self.program()

    def sampler(self) -> Callable[[], float]:
        with self.scope():
            sample = comparison.sampler(self.program)

        def seconds() -> float:
            with self.scope():
                return sample()

        return seconds


class Loop(NamedTuple):
    """One computation: `function(api)` is a function of the arrays that `inputs` makes."""

    function: Callable[[ModuleType], Callable[..., Any]]
    inputs: Callable[[], tuple[Any, ...]]
    tolerance: float = 1e-3

    def case(self, library: str) -> Case:
        """Calls of the compiled function, in 64 bits if that is what an input has."""
        api, inputs = comparison.load(library), self.inputs()
        wide = any(x.dtype == np.float64 for x in comparison.leaves(inputs))
        scope = partial(settings, api, wide)
        with scope():
            return Case(comparison.jitted(api, self.function(api), inputs), scope)

    def against_jax(self, options: Options) -> Measured:
        return self.measure({name: self.case(name) for name in libraries()}, options)

    def against_hand(self, function: Callable[..., Any], options: Options) -> Measured:
        """Against a function of the same arrays, written for Numba."""
        hand = Case(partial(function, *self.inputs()))
        return self.measure({"funcflow": self.case("funcflow"), BY_HAND: hand}, options)

    def against_bare(self, bare: "Loop", options: Options) -> Measured:
        """A loop with a bar, which is written to nowhere, against the same without one."""
        shown = self.case("funcflow")

        def call() -> Any:
            with redirect_stderr(io.StringIO()):
                return shown.program()

        cases = {"funcflow": shown._replace(program=call), BARE: bare.case("funcflow")}
        return self.measure(cases, options)

    def measure(self, cases: dict[str, Case], options: Options) -> Measured:
        self.check(cases)
        samplers = {name: case.sampler() for name, case in cases.items()}
        return comparison.medians(samplers, options.rounds)

    def check(self, cases: dict[str, Case]) -> None:
        results = {name: case.result() for name, case in cases.items()}
        comparison.check_equal(results, self.tolerance)


def settings(api: ModuleType, wide: bool) -> ExitStack:
    """The settings for a call; subnormal numbers are zeros, as they always are for JAX."""
    stack = ExitStack()
    stack.enter_context(api.enable_x64(wide))
    if api.__name__ == "funcflow":
        stack.enter_context(api.config(flush_denormals=True))
    return stack


def libraries() -> list[str]:
    return comparison.libraries("jax")


# --- inputs ---------------------------------------------------------------------------------


def sites() -> tuple[tuple[np.float64, ...]]:
    return (tuple(np.random.default_rng(0).standard_normal(SITES)),)


def batch(model: models.Model) -> tuple[Any, ...]:
    return model.init(), *model.batch()


def scalars(steps: int) -> tuple[np.generic, ...]:
    return np.float32(1), np.float32(2), np.int32(steps)


def lanes(count: int) -> tuple[np.ndarray, ...]:
    """Starts, squares, and numbers of steps that are log-uniform over 1 to 1,000."""
    rng = np.random.default_rng(0)
    start, square = rng.uniform(0.5, 2, (2, count)).astype(np.float32)
    return start, square, np.exp(rng.uniform(0, np.log(1001), count)).astype(np.int32)


def branches(count: int) -> tuple[np.ndarray, ...]:
    start, square, _ = lanes(count)
    return np.random.default_rng(1).permutation(count) < DEAR_SHARE * count, start, square


def coefficients(count: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    return rng.uniform(0.5, 1, count).astype(np.float32), rng.standard_normal(count, np.float32)


# --- rows -----------------------------------------------------------------------------------


def lorenz_rows(steps: int) -> list[Row]:
    size, dtypes = f"{steps:,} steps", ("float32", "float64")
    rows = []
    for how, function, targets in (
        ("forward", programs.lorenz, (0.7, 0.7)),
        ("gradient", programs.lorenz_gradient, (0.7, 0.05)),
    ):
        for dtype, target in zip(dtypes, targets, strict=True):
            loop = Loop(partial(function, steps=steps), partial(start, dtype))
            rows.append(Row(f"Lorenz RK4, {how}, {dtype}", size, target, loop.against_jax))
    loop = Loop(
        partial(programs.lorenz_open_gradient, steps=steps),
        lambda: (*start("float64"), np.int32(steps)),
    )
    work = "Lorenz RK4, gradient of a loop of unknown length, float64"
    rows.append(Row(work, size, 0.05, loop.against_jax))
    for dtype in dtypes:
        arguments = FIRST_CALL_STEPS, dtype
        first = in_cold_process("lorenz_first_call", *arguments, module="loop_programs")
        rows.append(Row(f"Lorenz RK4, gradient, {dtype}", "first call", 0.3, first))
    return rows


def start(dtype: str) -> tuple[np.ndarray]:
    return (np.ones(3, dtype),)


def bar_rows(steps: int) -> list[Row]:
    ways = {
        "forward": programs.lorenz,
        "all states": programs.lorenz_trajectory,
        "gradient": programs.lorenz_gradient,
    }
    rows = []
    for how, function in ways.items():
        shown, bare = (
            Loop(partial(function, steps=steps, **options), partial(start, "float32"))
            for options in ({"progress": "Lorenz"}, {})
        )
        work, size = f"Lorenz RK4 with a bar, {how}", f"{steps:,} steps"
        rows.append(Row(work, size, 1.02, partial(shown.against_bare, bare)))
    return rows


def kept_row(steps: int) -> Row:
    """How many states the gradient of a long scan has in memory, with its arguments and results."""

    def measure(options: Options) -> Measured:
        api = comparison.load("funcflow")
        gradient = programs.lorenz_gradient(api, steps, checkpoint="sqrt")
        (state,) = start("float32")
        memory = api.jit(gradient).lower(state).memory()
        return {"funcflow": memory.peak / state.nbytes, TWO_ROOTS: 2 * steps**0.5}

    work = 'gradient of a scan with checkpoint="sqrt"'
    return Row(work, f"{steps:,} steps", 1.0, measure)


def ring_rows(steps: int) -> list[Row]:
    def hand(x: tuple[np.float64, ...]) -> tuple[np.float64, ...]:
        return tuple(by_hand.ring_gradient(np.array(x), steps))

    loop = Loop(partial(programs.ring_gradient, steps=steps), sites)
    work, size = f"gradient, {SITES} scalar carries", f"{steps:,} steps"
    return [
        Row(work, size, 0.05, loop.against_jax),
        Row(f"{work}, by hand", size, 3.0, partial(loop.against_hand, hand)),
    ]


def recurrent_rows(length: int) -> list[Row]:
    rows = []
    for make, name in ((programs.RNN, "RNN"), (models.LSTM, "LSTM")):
        for batch_size in (1, 32):
            model = make(batch_size=batch_size, length=length)
            for how, function, target in (
                ("forward", programs.loss, 0.8),
                ("gradient", programs.loss_gradient, 0.6),
            ):
                loop = Loop(partial(function, model=model), partial(batch, model), 1e-2)
                size = f"batch {batch_size}, {length:,} steps"
                rows.append(
                    Row(f"{name} of {model.units} units, {how}", size, target, loop.against_jax)
                )
    return rows


def lane_rows(count: int) -> list[Row]:
    size, by_name = f"{count:,} lanes", {"relaxation": "relaxation", "kepler": "Kepler's equation"}
    ends, taken = [], []
    for name, title in by_name.items():
        body, hand = getattr(programs, name), by_hand.branching(getattr(by_hand, name))
        loop = Loop(partial(programs.repeated_in_lanes, body=body), partial(lanes, count))
        work = f"while_loop in lanes of 1 to 1,000 steps, {title}"
        ends.append(Row(work, size, 0.35, loop.against_jax))
        loop = Loop(partial(programs.branching, body=body), partial(branches, count))
        work = f"cond in lanes, {DEAR_SHARE:.0%} a hundred times dearer, {title}"
        taken.append(Row(work, size, 0.1, loop.against_jax))
        taken.append(Row(f"{work}, by hand", size, 2.0, partial(loop.against_hand, hand)))
    return [*ends, *taken]


def hamiltonian_row(chains: int, transitions: int) -> Row:
    """Rounding decides whether some sample is accepted, so the means are what is compared."""
    loop = Loop(
        partial(programs.hamiltonian, steps=transitions),
        partial(programs.regression, chains),
        tolerance=2e-2,
    )

    def measure(options: Options) -> Measured:
        cases = {name: loop.case(name) for name in libraries()}
        loop.check(cases)
        seconds = {name: partial(timeit.timeit, c.result, number=1) for name, c in cases.items()}
        return comparison.medians(seconds, min(options.rounds, LONG_ROUNDS))

    size = f"{chains:,} chains of {transitions:,} steps"
    return Row("HMC, 30-dimensional logistic regression", size, 0.5, measure)


def tables(quick: bool) -> list[Table]:
    sizes = QUICK if quick else Sizes()

    def row(work: str, size: str, target: float, *loop: Any) -> Row:
        return Row(work, size, target, Loop(*loop).against_jax)

    elements, of_elements = partial(coefficients, sizes.elements), f"{sizes.elements:,} elements"
    rows = [
        *lorenz_rows(sizes.lorenz),
        *bar_rows(sizes.shown),
        *ring_rows(sizes.ring),
        *recurrent_rows(sizes.recurrent),
        row(
            "while_loop of scalars",
            f"{sizes.scalar:,} steps",
            1.0,
            partial(programs.repeated, body=programs.relaxation),
            partial(scalars, sizes.scalar),
        ),
        *lane_rows(sizes.lanes),
        hamiltonian_row(sizes.chains, sizes.transitions),
        row("associative_scan of sums", of_elements, 1.0, programs.running_sum, elements),
        row("associative_scan, recurrence", of_elements, 1.0, programs.linear_recurrence, elements),
    ]
    return [
        Table("loops", rows),
        Table("loop_memory", [kept_row(sizes.kept)], unit="states"),
    ]


if __name__ == "__main__":
    comparison.main("Loops", tables, rounds=9)
