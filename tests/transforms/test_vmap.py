"""vmap against Python loops."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax

A = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("in_axis", [0, 1, 2, -1])
@pytest.mark.parametrize("out_axis", [0, 1, -1])
def test_axes(in_axis, out_axis):
    f = lambda x: x * 2 - x.sum()  # noqa: E731
    got = ff.vmap(f, in_axis, out_axis)(A)
    lanes = [f(lane) for lane in np.moveaxis(A, in_axis, 0)]
    np.testing.assert_array_equal(got, np.stack(lanes, out_axis))


def test_prefixes_none_and_keywords():
    tree = {"a": A, "b": (A[0], 2.0)}
    f = ff.vmap(
        lambda t, *, k: (t["a"].sum() * t["b"][1] + k, t["b"][0]),
        in_axes=({"a": 1, "b": None},),
        out_axes=(0, None),
    )
    got, same = f(tree, k=np.arange(3.0))
    np.testing.assert_array_equal(got, A.sum((0, 2)) * 2 + np.arange(3))
    np.testing.assert_array_equal(same, A[0])


def test_a_list_of_axes_and_an_axis_size():
    np.testing.assert_array_equal(ff.vmap(lambda x, y: x * y, [0, None])(A, 2.0), A * 2)
    np.testing.assert_array_equal(ff.vmap(lambda: fnp.ones(2), axis_size=3)(), np.ones((3, 2)))


def test_results_that_do_not_depend_on_the_lane_are_repeated():
    np.testing.assert_array_equal(ff.vmap(lambda x: 1.0)(A), np.ones(2))


def test_functions_with_rules_of_unmapped_values_stay_unmapped():
    g = ff.custom_jvp(fnp.sin)
    g.defjvp(lambda p, t: (g(*p), t[0]))
    h = ff.custom_vjp(fnp.sin)
    h.defvjp(lambda x: (h(x), None), lambda _, ct: (ct,))
    outs = ff.vmap(lambda x, y: (x, g(y), h(y)), (0, None), (0, None, None))(A, np.ones(2))
    assert outs[1].shape == outs[2].shape == (2,)


def test_nested_maps():
    outer = ff.vmap(ff.vmap(fnp.dot, (None, 1)), (0, None))
    x, y = A[0], A[0].T
    np.testing.assert_allclose(outer(x, y), x @ y)


def test_branches_and_loops_per_lane():
    def f(x, n):
        x = lax.while_loop(lambda s: s < n, lambda s: s + 1, x)
        return lax.cond(x > 3, lambda v: v * 10, lambda v: v, x)

    got = ff.vmap(f)(np.array([0.0, 1.5, 0.0]), np.array([2.0, 3.0, 5.0]))
    np.testing.assert_array_equal(got, [2, 3.5 * 10, 50])


def test_jit_inside_and_outside():
    f = lambda x: fnp.sort(x) * 2  # noqa: E731
    expected = np.stack([f(x) for x in A])
    np.testing.assert_array_equal(ff.jit(ff.vmap(f))(A), expected)
    np.testing.assert_array_equal(ff.vmap(ff.jit(f))(A), expected)


def test_per_lane_gradients():
    x = A[0]
    got = ff.vmap(ff.grad(lambda w, x: fnp.sum(w * x**2)), (None, 0))(np.ones(4), x)
    np.testing.assert_array_equal(got, x**2)


@pytest.mark.parametrize(
    ("options", "args", "error", "match"),
    [
        ({}, (np.ones(3), np.ones(4)), errors.ShapeError, r"args\[0\] has 3.*args\[1\] has 4"),
        ({"axis_size": 2}, (np.ones(3), np.ones(3)), errors.ShapeError, "axis_size is 2"),
        ({}, (1.0, 2.0), errors.AxisError, r"axis 0 of args\[0\]"),
        ({"in_axes": (0,)}, (A, A), errors.ArgumentError, "1 entries.*2 positional"),
        ({"in_axes": (None, None)}, (A, A), errors.ArgumentError, "no argument is mapped"),
        ({"in_axes": ({"a": 0}, 0)}, (A, A), errors.TreeStructureError, "in_axes"),
        ({"out_axes": None}, (A, A), errors.ArgumentError, "out_axes is None"),
        ({"out_axes": 5}, (A, A), errors.AxisError, "out_axes asks for axis 5"),
        ({}, ("text", A), errors.LeafTypeError, r"args\[0\]"),
    ],
)
def test_errors(options, args, error, match):
    with pytest.raises(error, match=match):
        ff.vmap(lambda x, y: x, **options)(*args)


def test_leaked_tracers_and_conversions_raise():
    kept = []
    ff.vmap(lambda x: kept.append(x) or x)(A)
    with pytest.raises(errors.UnexpectedTracerError):
        kept[0] + 1
    with pytest.raises(errors.TracerBoolConversionError):
        ff.vmap(lambda x: x if x.sum() > 0 else -x)(A)


def test_golden_text(golden):
    f = ff.vmap(lambda x, w: fnp.tanh(w @ x), (0, None))
    golden("transform_vmap.txt", f"{ff.make_jaxpr(f)(fnp.ones((5, 3)), fnp.ones((2, 3)))}\n")
