"""Arrays of wrong shapes, dtypes and axes, indices out of range, and writing into arrays."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax

X = fnp.ones(3)
M = fnp.ones((2, 3))


# --- shapes -----------------------------------------------------------------------------------


def test_shapes_that_do_not_broadcast(refuses):
    refuses(errors.ShapeError, lambda: X + fnp.ones(4), "add:", "(3,), (4,)", "axis -1")
    refuses(errors.ShapeError, lambda: lax.mul(X, fnp.ones(4)), "mul:", "extents 3 and 4")
    mask = fnp.array([True, False])
    refuses(errors.ShapeError, lambda: fnp.where(mask, X, X), "where:", "(2,), (3,), (3,)")


def test_shapes_that_do_not_broadcast_in_jit(refuses):
    @ff.jit
    def f(x, y):
        z = x * 2
        return z + y

    message = refuses(errors.ShapeError, lambda: f(X, fnp.ones(4)), "add:", "(3,), (4,)")
    assert "return z + y" in message


def test_matrix_products(refuses):
    refuses(errors.ShapeError, lambda: M @ M, "matmul:", "(2, 3) and (2, 3)")
    refuses(errors.ShapeError, lambda: fnp.einsum("ij,jk->ik", M, M), "einsum:", "'j'", "3 and 2")
    dims = (((1,), (0,)), ((), ()))
    refuses(errors.ShapeError, lambda: lax.dot_general(M, M, dims), "dot_general:", "(3,) and (2,)")


def test_a_reshape_of_another_size(refuses):
    refuses(errors.ShapeError, lambda: M.reshape(4), "reshape:", "6 elements", "(4,) has 4")


def test_joining(refuses):
    refuses(errors.ShapeError, lambda: fnp.stack([X, fnp.ones(4)]), "stack:", "(3,), (4,)")
    refuses(errors.ShapeError, lambda: fnp.concatenate([M, X]), "concatenate:", "(2, 3), (3,)")


def test_ragged_lists(refuses):
    refuses(errors.ShapeError, lambda: fnp.array([[1, 2], [3]]), "array:", "depth 1", "1, 2")


def test_not_square(refuses):
    refuses(errors.ShapeError, lambda: fnp.linalg.inv(M), "inv:", "square", "(2, 3)")


def test_values_to_set(refuses):
    refuses(errors.ShapeError, lambda: X.at[:2].set(X), "at[...].set:", "(3,)", "(2,)")


# --- dtypes -----------------------------------------------------------------------------------


def test_dtypes_that_a_function_does_not_take(refuses):
    refuses(errors.DtypeError, lambda: lax.sin(fnp.arange(3)), "sin:", "floating", "i32[3]")
    refuses(errors.DtypeError, lambda: X & X, "and:", "bool", "f32[3]")


def test_mixed_dtypes(refuses):
    call = lambda: lax.add(X, fnp.arange(3))  # noqa: E731
    refuses(errors.DtypeError, call, "add:", "one dtype", "f32[3], i32[3]")


def test_what_is_no_dtype(refuses):
    refuses(errors.DtypeError, lambda: fnp.zeros(3, "float31"), "'float31'", "'float32'")
    refuses(errors.DtypeError, lambda: fnp.zeros(3, "S5"), "S5", "not supported", "float32")
    refuses(errors.DtypeError, lambda: X.astype("nope"), "'nope'")


def test_a_sample_of_the_wrong_dtype(refuses):
    call = lambda: ff.random.uniform(ff.random.key(0), (2,), "int32")  # noqa: E731
    refuses(errors.DtypeError, call, "uniform:", "dtype must be floating", "int32")


# --- axes -------------------------------------------------------------------------------------


def test_axes_out_of_range(refuses):
    refuses(errors.AxisError, lambda: fnp.sum(M, axis=2), "sum:", "axis 2", "2 dimensions")
    refuses(errors.AxisError, lambda: M.max(-3), "max:", "axis -3", "from -2 to 1")
    refuses(errors.AxisError, lambda: fnp.cumsum(M, 2), "cumsum:", "axis 2")
    refuses(errors.AxisError, lambda: ff.nn.softmax(M, 2), "softmax:", "axis 2")


def test_duplicate_axes(refuses):
    refuses(errors.AxisError, lambda: fnp.sum(M, axis=(0, -2)), "sum:", "duplicate", "(0, -2)")
    refuses(errors.AxisError, lambda: fnp.transpose(M, (0, 0)), "transpose:", "duplicate")


def test_axes_that_are_no_integers(refuses):
    refuses(
        errors.ArgumentError, lambda: fnp.sum(M, axis=0.5), "sum:", "axis must be an integer", "0.5"
    )
    refuses(errors.ArgumentError, lambda: fnp.sum(M, axis="x"), "sum:", "'x'", "str")


def test_a_mapped_axis_that_is_not_there(refuses):
    refuses(
        errors.AxisError,
        lambda: ff.vmap(lambda d: d, in_axes=3)({"w": M}),
        "vmap of <lambda>:", "axis 3", "args[0]['w']", "f32[2,3]",
    )  # fmt: skip


# --- indices ----------------------------------------------------------------------------------


def test_static_indices_out_of_range(refuses):
    words = ("x[...]:", "index 5", "axis 0 of extent 3", "from -3 to 2")
    refuses(errors.OutOfBoundsError, lambda: X[5], *words)
    refuses(errors.OutOfBoundsError, lambda: X[fnp.array([0, 5])], *words)
    refuses(errors.OutOfBoundsError, lambda: X.at[5].set(1.0), *words)
    refuses(errors.OutOfBoundsError, lambda: ff.jit(lambda x: x[5])(X), *words)
    refuses(errors.OutOfBoundsError, lambda: ff.grad(lambda x: x[5])(X), *words)
    refuses(errors.OutOfBoundsError, lambda: M[1, -4], "index -4", "axis 1 of extent 3")


def test_too_many_indices(refuses):
    refuses(errors.AxisError, lambda: M[0, 0, 0], "too many indices: 3", "(2, 3)")


def test_what_is_no_index(refuses):
    refuses(errors.DtypeError, lambda: X[1.0], "index:", "integers or booleans", "float32")
    refuses(errors.DtypeError, lambda: X["a"], "index:", "'a' of type str")
    refuses(errors.ArgumentError, lambda: X[::0], "index:", "step", "0")


# --- mutation ---------------------------------------------------------------------------------


def test_setting_an_element(refuses):
    def assign():
        X[0] = 1.0

    def add():
        X[0] += 1.0

    refuses(errors.ImmutableError, assign, "x[...] =", "immutable", "f32[3]", "x.at[index].set")
    refuses(errors.ImmutableError, add, "x[...] =", "f32[3]", ".add(value) for +=")


def test_setting_an_element_while_tracing(refuses):
    def assign(x):
        x[0] = 1.0

    for transform in (ff.jit, ff.grad, ff.vmap):
        x = fnp.ones((2, 3)) if transform is ff.vmap else X
        refuses(errors.ImmutableError, lambda t=transform, x=x: t(assign)(x), "f32[3]")


def test_results_in_place(refuses):
    refuses(errors.ArgumentError, lambda: fnp.sum(X, out=X), "sum:", "`out`", "immutable")
    refuses(errors.ImmutableError, lambda: fnp.place(X, X > 0, 1.0), "place:", "in place")


def test_the_numpy_view_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(X)[0] = 2.0


# --- other arguments --------------------------------------------------------------------------


def test_values_that_a_function_cannot_work_with(refuses):
    refuses(errors.ArgumentError, lambda: fnp.split(X, 2), "split:", "extent 3", "2 parts")
    refuses(errors.ArgumentError, lambda: fnp.zeros(-1), "zeros:", "(-1,)", "negative")
    refuses(errors.ArgumentError, lambda: fnp.zeros("a"), "zeros:", "shape", "'a'")
    refuses(errors.ArgumentError, lambda: fnp.max(fnp.zeros(0)), "max:", "no elements", "(0,)")
    refuses(errors.ArgumentError, lambda: lax.integer_pow(X, 1.5), "integer_pow:", "1.5")


def test_the_truth_of_an_array(refuses):
    refuses(errors.ArgumentError, lambda: bool(X), "bool():", "f32[3]", "x.any()")
