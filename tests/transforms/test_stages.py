"""What tracing, lowering and compiling hand over."""

import tracemalloc

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.backends.numba.executable import pool

STRUCT = ff.ShapeDtypeStruct((3,), "float64")


def test_traced():
    traced = ff.jit(lambda p, *, k: {"y": p["x"] * k}).trace({"x": STRUCT}, k=STRUCT)
    assert traced.out_info == {"y": STRUCT}
    assert len(traced.jaxpr.in_avals) == 2
    assert traced.in_tree.num_leaves == 2


def test_compiled_programs_take_captured_arrays_along():
    table = np.arange(3.0)
    program = ff.jit(lambda x: x + table).lower(STRUCT).compile()
    np.testing.assert_array_equal(program(np.ones(3)), table + 1)


def test_compiled_programs_copy_what_aliases_their_arguments():
    x = np.ones(3)
    y = ff.jit(lambda x: x).lower(STRUCT).compile()(x)
    x[:] = 5
    np.testing.assert_array_equal(y, np.ones(3))


def test_every_stage_can_be_shown():
    lowered = ff.jit(lambda x: fnp.sin(x) * 1.0 + fnp.sin(x)).lower(STRUCT)
    assert str(lowered.as_text("traced")).count("sin") == 2
    assert lowered.as_text() == lowered.as_text("dce")
    assert lowered.as_text().count("sin") == 1
    with pytest.raises(ff.errors.ArgumentError, match=r"no stage 'cake'.*\n.*\n.*traced, fold"):
        lowered.as_text("cake")


# --- memory -----------------------------------------------------------------------------------

N = 512


def chain(x, w):
    y = fnp.sin(x) @ w
    z = fnp.cos(y @ w)
    return (z @ w) + y, fnp.sum(z, 0)


def row(x, w):
    return x - fnp.max(x, 1, keepdims=True), w


def update(x, w):
    return x - 0.5 * (w @ w), w * 2


@pytest.mark.parametrize(
    ("f", "donated"), [(chain, ()), (row, ()), (update, ()), (update, (0, 1)), (chain, (0,))]
)
def test_memory_is_known_before(f, donated):
    """Within 10 % of what NumPy, which makes all of it, says afterwards."""
    program = ff.jit(f, donate_argnums=donated).lower(*[np.ones((N, N), "f4")] * 2).compile()
    memory = program.lowered.memory()
    assert memory.arguments == 2 * 4 * N * N
    ff.jit(f)(*[np.ones((N, N), "f4")] * 2)  # libraries allocate what they keep
    pool().clear()
    tracemalloc.start()
    try:
        x, w = fnp.ones((N, N)) * 1, fnp.ones((N, N)) * 2
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        results = program(x, w)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(results) == 2
    assert peak - before + memory.arguments == pytest.approx(memory.peak, rel=0.1)


def test_memory_of_donated_arguments_counts_once():
    def lowered(**options):
        return ff.jit(lambda x: x * 2, **options).lower(STRUCT).memory()

    assert lowered().peak == 48
    assert lowered(donate_argnums=0).peak == 24
    assert lowered(donate_argnums=0).donated == 24
    assert str(lowered()) == "arguments 24 B, outputs 24 B; peak 48 B"


def test_stages_of_the_backend():
    lowered = ff.jit(lambda x: ff.jit(fnp.sin)(x) * 2).lower(STRUCT)
    assert "jit" in lowered.as_text("dce") and "jit" not in lowered.as_text("inline")
    assert lowered.as_text("program") == lowered.compile().as_text()
    for stage in ("fusion", "kernels", "source"):
        assert "sin" in lowered.as_text(stage)
    assert "define void @kernel_" in lowered.as_text("llvm")
    with ff.config(backend="reference"):
        assert lowered.compile().as_text().startswith("{ lambda")
        with pytest.raises(ff.errors.ArgumentError, match="no stage 'llvm'"):
            lowered.as_text("llvm")
