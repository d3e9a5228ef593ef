"""Places in the arena: never two live values in one, and results over operands only where legal."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.backends.families.joining import LOWERINGS
from funcflow.backends.loop_ir import ANY, FIXED, UNIT, Builder, Kernel, Operand
from funcflow.backends.lower import lower_program
from funcflow.backends.passes.memory import plan_memory, reads_before_writing
from funcflow.backends.pipeline import prepare
from funcflow.backends.program import Buffer, Program, Routine, Step, View, dense_view
from funcflow.core.memory import ALIGNMENT

F32 = np.dtype("f4")


def span(arena, buffer):
    return range(arena.offsets[buffer], arena.offsets[buffer] + buffer.nbytes)


def overlap(a: range, b: range) -> bool:
    return max(a.start, b.start) < min(a.stop, b.stop)


def check_arena(program, arena) -> int:
    """Live temporaries lie apart; returns how often a result took an operand's place."""
    lives: dict[Buffer, list[int]] = {}
    for number, step in enumerate(program.steps):
        for view in (*step.reads, *step.writes):
            if view.buffer.role == "temporary":
                lives.setdefault(view.buffer, [number, number])[1] = number
    assert lives.keys() == arena.offsets.keys()
    reused = 0
    for a, (born, dies) in lives.items():
        assert arena.offsets[a] % ALIGNMENT == 0
        assert span(arena, a).stop <= arena.size
        for b, (other_born, other_dies) in lives.items():
            if a is b or not overlap(span(arena, a), span(arena, b)):
                continue
            assert dies <= other_born or other_dies <= born
            if dies == other_born and born != dies:
                step = program.steps[dies]
                assert isinstance(step.work, Kernel)
                assert span(arena, a) == span(arena, b)
                places = [
                    i for i, v in enumerate((*step.reads, *step.writes)) if v.buffer in (a, b)
                ]
                assert reads_before_writing(step.work, *places)
                reused += 1
    return reused


# --- random lists of steps ------------------------------------------------------------------------


@st.composite
def step_lists(draw):
    """Routines that read and write random temporaries, each written before it is read."""
    buffers: list[View] = []
    steps = []
    for _ in range(draw(st.integers(1, 25))):
        reads = draw(st.lists(st.sampled_from(buffers), max_size=3)) if buffers else []
        writes = [
            dense_view("temporary", (draw(st.integers(0, 200)),), F32)
            for _ in range(draw(st.integers(0, 2)))
        ]
        if buffers and draw(st.booleans()):
            writes.append(draw(st.sampled_from(buffers)))
        steps.append(Step(Routine("f", ""), tuple(reads), tuple(writes)))
        buffers += writes
    return Program([], [], [], steps)


@given(step_lists())
@settings(max_examples=100)
def test_live_temporaries_lie_apart(program):
    assert check_arena(program, plan_memory(program)) == 0


@given(seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_live_temporaries_of_random_programs_lie_apart(programs, seed):
    program = lower_program(prepare(programs.random_jaxpr(seed, 20))["dce"], LOWERINGS)
    check_arena(program, plan_memory(program))


def test_space_is_used_again():
    views = [dense_view("temporary", (1000,), F32) for _ in range(20)]
    steps = [Step(Routine("f", ""), (), (views[0],))]
    steps += [Step(Routine("f", ""), (a,), (b,)) for a, b in pairwise(views)]
    arena = plan_memory(Program([], [], [], steps))
    assert arena.size == 2 * 4032


def test_gaps_are_joined():
    """Two small neighbours make room for a large one."""
    small = [dense_view("temporary", (16,), F32) for _ in range(2)]
    large = dense_view("temporary", (32,), F32)
    write, read = (
        Step(Routine("f", ""), r, w) for r, w in (((), tuple(small)), (tuple(small), ()))
    )
    arena = plan_memory(Program([], [], [], [write, read, Step(Routine("f", ""), (), (large,))]))
    assert arena.size == 128
    assert arena.offsets[large.buffer] == 0


def test_others_come_and_go_beside_what_lives_long():
    """Large ones first, the second of the pair would not fit below the one that lives long."""
    long, *pair, large = (dense_view("temporary", (16 * n,), F32) for n in (15, 10, 10, 19))
    steps = [
        Step(Routine("f", ""), reads, writes)
        for reads, writes in [((), (long, *pair)), (tuple(pair), ()), ((long,), (large,))]
    ]
    arena = plan_memory(Program([], [], [], steps))
    assert arena.size == 64 * (15 + 10 + 10)


def test_a_small_value_does_not_take_the_place_of_a_large_one():
    first, second = (dense_view("temporary", (1000,), F32) for _ in range(2))
    small = dense_view("temporary", (16,), F32)
    reads_and_writes = [((), first), (first, ()), ((), small), ((), second), (small, ())]
    steps = [
        Step(Routine("f", ""), (r,) if r else (), (w,) if w else ()) for r, w in reads_and_writes
    ]
    arena = plan_memory(Program([], [], [], steps))
    assert arena.offsets[first.buffer] == arena.offsets[second.buffer] == 0
    assert arena.size == 4032 + ALIGNMENT


def test_arguments_constants_and_outputs_are_not_in_the_arena():
    views = [dense_view(role, (4,), F32) for role in ("argument", "constant", "output")]
    program = Program([], [], [], [Step(Routine("f", ""), tuple(views[:2]), (views[2],))])
    assert plan_memory(program).size == 0
    assert not plan_memory(program).offsets


# --- writing over an operand ----------------------------------------------------------------------


def negation(read=(UNIT,), written=(UNIT,), dtypes=(F32, F32), twice=False) -> Kernel:
    build = Builder()
    with build.loop(0):
        x = build.load(0, dtypes[0])
        build.store(1, build.let("convert", x, dtype=dtypes[1]))
        if twice:
            build.load(0, dtypes[0])
    return Kernel(1, (Operand(dtypes[0], read), Operand(dtypes[1], written, True)), (), build.body)


def step_of(kernel, source, target):
    params = [source.shape[0]]
    for view, operand in zip((source, target), kernel.operands, strict=True):
        params += [view.strides[0]] if operand.strides == (ANY,) else []
    return Step(kernel, (source,), (target,), tuple(params), source.shape[0])


def in_place(kernel, source, target, read_later=False) -> bool:
    first = Step(Routine("f", ""), (), (source,))
    last = Step(Routine("f", ""), (source, target) if read_later else (target,), ())
    arena = plan_memory(Program([], [], [], [first, step_of(kernel, source, target), last]))
    return arena.offsets[source.buffer] == arena.offsets[target.buffer]


def temporary(n=100, dtype=F32):
    return dense_view("temporary", (n,), dtype)


def strided(view, stride):
    return View(view.buffer, view.dtype, (view.shape[0] // 2,), (stride,))


def test_a_result_may_lie_over_an_operand():
    assert in_place(negation(), temporary(), temporary())
    assert in_place(
        negation(dtypes=(F32, np.dtype("i4"))), temporary(), temporary(dtype=np.dtype("i4"))
    )
    any_strides = negation((ANY,), (ANY,))
    assert in_place(any_strides, strided(temporary(), 2), strided(temporary(), 2))


@pytest.mark.parametrize(
    ("kernel", "source", "target", "read_later"),
    [
        (negation(), temporary(), temporary(), True),
        (negation(twice=True), temporary(), temporary(), False),
        (
            negation(dtypes=(F32, np.dtype("i8"))),
            temporary(100),
            temporary(100, np.dtype("i8")),
            False,
        ),
        (negation((FIXED,)), dense_view("temporary", (100,), F32), temporary(), False),
        (negation((ANY,), (ANY,)), strided(temporary(), 1), strided(temporary(), 2), False),
        (negation((ANY,), (ANY,)), temporary().reverse((0,)), temporary(), False),
    ],
)
def test_a_result_may_not_lie_over_an_operand(kernel, source, target, read_later):
    assert not in_place(kernel, source, target, read_later)


def sweeps(build, *bodies) -> Kernel:
    """One loop for each of some sets of "load" and "store"."""
    for body in bodies:
        with build.loop(0):
            x = build.load(0, F32) if "load" in body else build.const(0, F32)
            if "store" in body:
                build.store(1, x)
    return Kernel(1, (Operand(F32, (UNIT,)), Operand(F32, (UNIT,), True)), (), build.body)


def test_all_may_be_read_once_more_before_anything_is_written():
    kernel = sweeps(Builder(), {"load"}, {"load", "store"})
    assert reads_before_writing(kernel, 0, 1)


@pytest.mark.parametrize(
    "bodies",
    [({"store"}, {"load"}), ({"load", "store"}, {"load"}), ({"store"}, {"load", "store"})],
)
def test_what_is_read_later_is_not_written_over(bodies):
    assert not reads_before_writing(sweeps(Builder(), *bodies), 0, 1)


def test_accesses_elsewhere_are_not_followed():
    build = Builder()
    with build.loop(0):
        build.store(1, build.load(0, F32, offset=build.index(0)))
    kernel = Kernel(1, (Operand(F32, (UNIT,)), Operand(F32, (UNIT,), True)), (), build.body)
    assert not reads_before_writing(kernel, 0, 1)


def test_models_reuse_places():
    def f(x):
        for _ in range(6):
            x = fnp.cumsum(fnp.exp(x), 0)
        return x

    program = lower_program(prepare(ff.make_jaxpr(f)(np.ones((64, 8), "f4")))["dce"], {})
    arena = plan_memory(program)
    check_arena(program, arena)
    assert arena.size == 2 * 64 * 8 * 4
