"""Steps that free memory run early, and nothing runs before what it needs."""

from typing import Any

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.backends.passes.memory import plan_memory
from funcflow.backends.passes.order import in_order
from funcflow.backends.program import Buffer, Program, Routine, Step, View
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive


def buffer(role: str, size: int = 8) -> View:
    return View(Buffer(role, 4 * size), np.dtype("f4"), (size,), (1,))


def step(name: str, reads: list[View], writes: list[View], **options: Any) -> Step:
    return Step(Routine(name, ""), tuple(reads), tuple(writes), **options)


def names(*steps: Step) -> str:
    program = Program([], [], [], list(steps))
    return " ".join(s.work.name for s in in_order(program).steps if isinstance(s.work, Routine))


def test_without_a_reason_the_order_stays():
    x, y, z = (buffer("argument") for _ in range(3))
    outs = [buffer("output", 2) for _ in range(3)]
    assert names(*(step(n, [v], [w]) for n, v, w in zip("abc", (x, y, z), outs, strict=True))) == (
        "a b c"
    )


def test_what_frees_memory_runs_first():
    x = buffer("argument")
    g, h = buffer("temporary"), buffer("temporary")
    small, little = buffer("output", 1), buffer("output", 1)
    steps = [
        step("g", [x], [g]),
        step("h", [x], [h]),
        step("use_g", [g], [small]),
        step("use_h", [h], [little]),
    ]
    assert names(*steps) == "g use_g h use_h"


def test_a_value_is_freed_by_the_last_of_its_readers():
    x, g = buffer("argument"), buffer("temporary", 100)
    kept, results = buffer("temporary", 2), [buffer("output", 1) for _ in range(2)]
    steps = [
        step("g", [x], [g]),
        step("other", [x], [kept]),
        step("first", [g], [results[0]]),
        step("last", [g], [results[1]]),
        step("end", [kept], [buffer("output", 1)]),
    ]
    # neither reader frees it alone; after the first the second does
    assert names(*steps) == "g other end first last"


def test_parts_of_a_value_are_written_before_it_is_read():
    x, whole, out = buffer("argument"), buffer("temporary", 100), buffer("output", 1)
    steps = [
        step("left", [x], [whole]),
        step("right", [x], [whole]),
        step("read", [whole], [out]),
    ]
    assert names(*steps) == "left right read"


def test_a_result_does_not_overtake_the_readers_of_what_it_may_replace():
    w, g, x = buffer("argument"), buffer("temporary"), buffer("argument", 2)
    steps = [
        step("grad", [x], [g]),
        step("back", [w, x], [buffer("temporary", 50)]),
        step("update", [w, g], [buffer("output")]),
    ]
    assert names(*steps) == "grad back update"
    steps[2] = step("other", [w, g], [buffer("output", 9)])
    assert names(*steps) == "grad other back"


def test_effects_keep_their_order():
    def effect() -> dict[str, Any]:
        return {"eqns": (JaxprEqn([], [], Primitive("shout"), {}, frozenset(["loud"])),)}

    x, g = buffer("argument"), buffer("temporary", 100)
    steps = [
        step("g", [x], [g]),
        step("one", [x], [buffer("output", 1)], **effect()),
        step("two", [g], [buffer("output", 1)], **effect()),
    ]
    assert names(*steps) == "g one two"


def test_parameters_are_updated_when_their_gradients_are_known():
    def step(params, x):
        def loss(params):
            y = x
            for w in params:
                y = fnp.tanh(y @ w)
            return fnp.sum(y * y)

        grads = ff.grad(loss)(params)
        return [w - 0.1 * g for w, g in zip(params, grads, strict=True)]

    params, x = [fnp.ones((64, 64)) for _ in range(6)], fnp.ones((2, 64))
    lowered = ff.jit(step, donate_argnums=0).lower(params, x)
    assert lowered.memory().donated == 6 * 64 * 64 * 4
    program: Any = lowered.compile().executable
    # two gradients at a time, and not six
    assert plan_memory(program.program).size < 3 * 64 * 64 * 4
