"""Groups that are equal, extents and all, are planned once, and share nothing that is their own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends import step_memo
from funcflow.backends.emit import GroupWriter
from funcflow.backends.kernel_memo import Memo
from funcflow.backends.lower import lower_program
from funcflow.backends.pipeline import prepare
from funcflow.backends.program import Program
from funcflow.testing.random_programs import random_program

X = np.ones((5, 37), "f4")


class Planned:
    """Counts the groups that are planned."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        planned = GroupWriter.steps

        def steps(writer: GroupWriter) -> Any:
            self.count += 1
            return planned(writer)

        monkeypatch.setattr(step_memo, "_MEMO", Memo(4096))
        monkeypatch.setattr(GroupWriter, "steps", steps)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Planned:
    return Planned(monkeypatch)


def program(f: Callable[..., Any], *args: Any) -> Program:
    *_, last = prepare(ff.make_jaxpr(f)(*args)).values()
    return lower_program(last, {})


def listing(found: Program) -> list[Any]:
    """The steps; buffers by the order in which they are met."""
    buffers: dict[Any, int] = {}
    return [
        (
            str(step.work),
            step.params,
            step.extent,
            step.grain,
            [(buffers.setdefault(v.buffer, len(buffers)), *v[1:]) for v in step.reads],
            [(buffers.setdefault(v.buffer, len(buffers)), *v[1:]) for v in step.writes],
            [eqn.primitive.name for eqn in step.eqns],
            sorted(eqn.primitive.name for eqn in step.origins.values()),
        )
        for step in found.steps
    ]


@pytest.mark.parametrize("seed", range(40))
def test_programs_from_the_memo_are_those_that_would_be_planned(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, jaxpr = prepare(random_program(seed).jaxpr).values()
    monkeypatch.setattr(step_memo, "_MEMO", Memo(0))
    expected = listing(lower_program(jaxpr, {}))
    monkeypatch.setattr(step_memo, "_MEMO", Memo(4096))
    assert listing(lower_program(jaxpr, {})) == expected  # as it fills
    assert listing(lower_program(jaxpr, {})) == expected  # once it knows all


def test_equal_layers_are_planned_once(planned: Planned) -> None:
    steps = program(lambda x, y: (fnp.tanh(x * 3), fnp.tanh(y * 3)), X[:1], X[1:2]).steps
    assert (len(steps), planned.count) == (2, 1)
    assert steps[0].work is steps[1].work
    assert not {v.buffer for v in steps[0].reads} & {v.buffer for v in steps[1].reads}
    for step in steps:
        assert set(step.origins.values()) == set(step.eqns)


def test_what_a_batch_does_not_touch_is_planned_once(planned: Planned) -> None:
    def step(x: Any, w: Any) -> Any:
        return fnp.exp(x), w * 3 + 1

    program(step, X, X)
    assert planned.count == 2
    program(step, X[:4].copy(), X)
    assert planned.count == 3


def rows(x: Any) -> Any:
    return fnp.max(x, 1)


OTHERS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "extents": (rows, (X[:4],)),
    "dtypes": (rows, (X.astype("f8"),)),
    "reductions": (lambda x: fnp.min(x, 1), (X,)),
    "axes": (lambda x: fnp.max(x, 0), (X,)),
    "strides": (lambda x: fnp.max(x[:, ::-1], 1), (X,)),
    "more": (lambda x: fnp.max(x, 1) + 1, (X,)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_tells_groups_apart(planned: Planned, name: str) -> None:
    f, args = OTHERS[name]
    program(rows, X)
    program(f, *args)
    assert planned.count == 2


def test_numbers_and_operands_tell_groups_apart(planned: Planned) -> None:
    functions = [
        lambda x, y: x * 3 + y,
        lambda x, y: x * 4 + y,
        lambda x, y: y * 3 + x,
        lambda x, y: x * 3 + x,
        lambda x, y: x * 3 + y[::-1],
        lambda x, y: lax.integer_pow(x, 3) + y,
        lambda x, y: lax.integer_pow(x, 4) + y,
        lambda x, y: (x * 3, x * 3 + y),
        lambda x, y: fnp.where(fnp.tri(*x.shape, dtype=bool), x, y),  # a mask made where it is read
        lambda x, y: fnp.where(fnp.tri(*x.shape, 1, dtype=bool), x, y),
    ]
    for f in functions:
        program(f, X, X)
    assert planned.count == len(functions) - 1  # two operands exchanged are equal groups
