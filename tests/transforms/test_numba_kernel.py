"""User kernels under every transform, and what is said of those that cannot work."""

import warnings
from functools import partial
from typing import Any

import ml_dtypes
import numba
import numpy as np
import pytest
from numba.core.errors import TypingError

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax
from funcflow.testing import check_grads

# The laws of a kernel do not depend on what compiles the program around it.
BACKENDS = {"eager": lambda f: f, "jit": ff.jit}
X = np.array([0.5, -1.5, 2.0])
Y = np.array([3.0, 1.0, 0.5])


@numba.njit
def scaled_sum(scale, x, y, out):
    for i in range(x.size):
        out[i] = scale * x[i] + y[i]


@numba.njit
def moments(x, mean, square, count):
    mean[()] = x.mean()
    square[()] = (x**2).mean()
    count[()] = x.size


@numba.njit
def cube(x, out):
    for i in range(x.size):
        out[i] = x[i] ** 3


axpy = ff.numba_kernel(scaled_sum, out=lambda scale, x, y: x)


def cubed() -> ff.numba_kernel:
    """A kernel without a rule, of which each test may give another."""
    return ff.numba_kernel(cube, out=lambda x: x)


@pytest.fixture(params=BACKENDS)
def run(request: pytest.FixtureRequest) -> Any:
    """How a function is run: as it is, or jitted."""
    return BACKENDS[request.param]


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "complex64", "int32"])
def test_values_and_dtypes(run, dtype):
    x, y = (np.array([1, 2, 3], dtype), np.array([5, 6, 7], dtype))
    got = run(axpy)(x[0], x, y)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, x + y)


def test_outputs_are_a_tree_and_may_have_no_axes(run):
    out = {"mean": fnp.float64, "rest": (fnp.float64, fnp.int32)}
    structs = ff.tree.map(lambda dtype: ff.ShapeDtypeStruct((), dtype), out)
    got = run(ff.numba_kernel(moments, out=structs))(X)
    assert float(got["mean"]) == X.mean()
    assert float(got["rest"][0]) == pytest.approx((X**2).mean())
    assert int(got["rest"][1]) == 3


def test_a_tree_of_arguments_stands_for_its_leaves(run):
    f = ff.numba_kernel(scaled_sum, out=lambda p: p["x"])
    np.testing.assert_array_equal(run(f)({"a": 2.0, "x": X, "y": Y}), 2 * X + Y)


def test_out_gets_structs_of_the_arguments():
    seen = []
    f = ff.numba_kernel(cube, out=lambda x: seen.append(x) or x)
    f(X)
    assert seen == [ff.ShapeDtypeStruct((3,), "float64")]


@numba.njit
def first_column(x, out):
    for i in range(out.size):
        out[i] = x[i, 0]


def test_inputs_that_are_views_arrive_in_c_order(run):
    f = ff.numba_kernel(first_column, out=ff.ShapeDtypeStruct((3,), "float64"))
    x = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(run(lambda x: f(x.T))(x), x[0, :3])
    np.testing.assert_array_equal(run(f)(x[:, ::2]), x[:, 0])


def test_arrays_without_elements(run):
    empty = np.zeros(0)
    assert run(axpy)(2.0, empty, empty).shape == (0,)
    mapped = run(ff.vmap(axpy, (None, 0, 0)))
    assert mapped(2.0, np.zeros((0, 3)), np.zeros((0, 3))).shape == (0, 3)


@numba.njit("void(float64[:], float64[:])")
def doubled(x, out):
    for i in range(out.size):
        out[i] = 2 * x[i]


def test_a_kernel_with_given_signatures(run):
    f = ff.numba_kernel(doubled, out=lambda x: x)
    frozen = X.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(run(f)(frozen), 2 * X)
    np.testing.assert_array_equal(run(ff.vmap(f))(np.stack([X, Y])), 2 * np.stack([X, Y]))
    with pytest.raises(errors.ArgumentError, match=r"no signature of .* doubled for \(i32\[3\]\)"):
        run(f)(np.arange(3, dtype="int32"))


def test_two_wrappers_of_one_function_are_one_program():
    programs = [str(ff.make_jaxpr(cubed())(X)) for _ in range(2)]
    assert programs[0] == programs[1]
    assert "numba_kernel[kernel=<cube> lanes=() out_avals=(f64[3],)]" in programs[0]


def test_in_the_body_of_a_loop(run):
    f = run(lambda x: lax.scan(lambda c, y: (axpy(2.0, c, y), c.sum()), x, np.stack([X, Y])))
    carry, sums = f(Y)
    np.testing.assert_allclose(carry, 2 * (2 * Y + X) + Y)
    np.testing.assert_allclose(sums, [Y.sum(), (2 * Y + X).sum()])


# --- vmap -------------------------------------------------------------------------------------


def test_vmap_calls_the_kernel_for_each_lane(run):
    x = np.stack([X, Y, X - Y, X + Y])
    got = run(ff.vmap(axpy, in_axes=(0, 1, None), out_axes=1))(np.arange(4.0), x.T, Y)
    np.testing.assert_allclose(got, (np.arange(4.0)[:, None] * x + Y).T)


def test_vmaps_nest(run):
    a, x = np.arange(4.0), np.stack([X, Y])
    inner = ff.vmap(axpy, (None, 0, None))
    got = run(ff.vmap(inner, (0, None, None)))(a, x, Y)
    np.testing.assert_allclose(got, a[:, None, None] * x + Y)


def test_vmap_of_outputs_without_axes(run):
    structs = [ff.ShapeDtypeStruct((), dtype) for dtype in ("float64", "float64", "int64")]
    x = np.stack([X, Y])
    mean, square, count = run(ff.vmap(ff.numba_kernel(moments, out=structs)))(x)
    np.testing.assert_allclose(mean, x.mean(1))
    np.testing.assert_allclose(square, (x**2).mean(1))
    assert count.tolist() == [3, 3]


# --- derivatives --------------------------------------------------------------------------------


def with_jvp() -> ff.numba_kernel:
    f = cubed()

    @f.defjvp
    def rule(primals, tangents):
        (x,), (t,) = primals, tangents
        return f(x), 3 * x**2 * t

    return f


def with_jvps() -> ff.numba_kernel:
    f = cubed()
    f.defjvps(lambda t, y, x: 3 * x**2 * t)
    return f


def with_vjp() -> ff.numba_kernel:
    f = cubed()
    f.defvjp(lambda x: (f(x), x), lambda x, ct: (3 * x**2 * ct,))
    return f


def wrapped() -> Any:
    f = ff.custom_vjp(cubed())
    f.defvjp(lambda x: (f(x), x), lambda x, ct: (3 * x**2 * ct,))
    return f


@pytest.mark.parametrize("ruled", [with_jvp, with_jvps, with_vjp, wrapped])
def test_rules(run, ruled):
    f = ruled()
    modes = ("fwd", "rev") if "jvp" in ruled.__name__ else ("rev",)
    check_grads(run(f), (X,), order=2, modes=modes)
    x = np.stack([X, Y])
    got = run(ff.vmap(ff.grad(lambda x: f(x).sum())))(x)
    np.testing.assert_allclose(got, 3 * x**2)
    np.testing.assert_array_equal(run(f)(X), X**3)


def test_without_a_rule_the_error_says_how_to_give_one(run):
    with pytest.raises(errors.NotDifferentiableError, match="cube has no derivative rule") as info:
        ff.grad(lambda x: run(cubed())(x).sum())(X)
    assert "defvjp" in info.value.mend


@numba.njit
def rounded(x, out):
    for i in range(x.size):
        out[i] = round(x[i])


def test_integer_outputs_have_the_derivative_zero(run):
    f = ff.numba_kernel(rounded, out=lambda x: ff.ShapeDtypeStruct(x.shape, "int64"))
    got = ff.grad(run(lambda x: (f(x) * x).sum()))(X)
    np.testing.assert_array_equal(got, np.round(X))


# --- errors -------------------------------------------------------------------------------------


def test_a_function_that_numba_has_not_seen():
    with pytest.raises(errors.ArgumentError, match="is not compiled by Numba") as info:
        ff.numba_kernel(cube.py_func, out=None)
    assert "@numba.njit" in info.value.mend


def test_another_number_of_arguments(run):
    said = r"scaled_sum\(scale, x, y, out\) is called with 2 inputs and 1 outputs"
    with pytest.raises(errors.ArgumentError, match=said):
        run(ff.numba_kernel(scaled_sum, out=lambda x, y: x))(X, Y)


def test_a_kernel_that_does_not_compile_names_its_line(run):
    @numba.njit
    def mixed(x, out):
        out[0] = x[0] + "a"

    with pytest.raises(errors.ArgumentError) as info:
        run(ff.numba_kernel(mixed, out=lambda x: x))(X)
    first = str(info.value).splitlines()[0]
    assert first.startswith("numba cannot compile the kernel mixed for (f64[3]) -> (f64[3]): ")
    assert f'{__file__}:{mixed.py_func.__code__.co_firstlineno + 2}: out[0] = x[0] + "a"' in first
    assert first.endswith("add(float64, Literal[str](a))")
    assert isinstance(info.value.__cause__, TypingError)


def test_inputs_cannot_be_written(run):
    @numba.njit
    def careless(x, out):
        x[0] = 1

    with pytest.raises(errors.ArgumentError, match="Cannot modify readonly array"):
        run(ff.numba_kernel(careless, out=lambda x: x))(X)


def test_a_kernel_that_returns_its_result():
    @numba.njit
    def total(x, out):
        return x.sum()

    with pytest.raises(errors.ArgumentError, match="the numba kernel total returns float64"):
        ff.numba_kernel(total, out=lambda x: x)(X)


@pytest.mark.parametrize("name", ["argument", "output"])
def test_a_dtype_that_numba_does_not_know(name):
    odd = ff.ShapeDtypeStruct((3,), ml_dtypes.bfloat16)
    f = ff.numba_kernel(cube, out=odd if name == "output" else lambda x: X)
    with pytest.raises(errors.DtypeError, match=f"bfloat16, the dtype of an {name} of cube"):
        f(X if name == "output" else X.astype(ml_dtypes.bfloat16))


@numba.njit
def checked_root(x, out):
    for i in range(x.size):
        if x[i] < 0:
            raise ValueError("a negative number")
        out[i] = x[i] ** 0.5


@pytest.mark.parametrize("mapped", [False, True])
def test_a_kernel_that_raises(run, mapped):
    f = ff.numba_kernel(checked_root, out=lambda x: x)
    f, x = (ff.vmap(f), np.stack([Y, X])) if mapped else (f, X)
    jitted = run(lambda x: f(x) + 1)
    with pytest.raises(errors.CallbackError, match="raised ValueError: a negative number") as info:
        jitted(x)
    assert isinstance(info.value.__cause__, ValueError)
    np.testing.assert_array_equal(jitted(abs(x)), abs(x) ** 0.5 + 1)


def test_making_a_kernel_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ff.jit(partial(axpy, 2.0))(X, Y)
