import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import TreeStructureError


@pytest.mark.parametrize("scale", [nn.StaticLossScale(2.0**15), nn.DynamicLossScale(2.0**15)])
def test_unscaling_inverts_scaling(scale):
    tree = {"a": fnp.ones(2), "half": fnp.float16(2.0**-20), "n": fnp.arange(2), "none": None}
    scaled = scale.scale(tree)
    assert scaled["a"][0] == 2**15 and scaled["half"] == 2.0**-5
    assert ff.tree.map(lambda x: x.dtype, scaled) == ff.tree.map(lambda x: x.dtype, tree)
    back = scale.unscale(scaled)
    for got, expected in zip(ff.tree.leaves(back), ff.tree.leaves(tree), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_gradients_below_half_precision_are_found():
    def loss(w, x):
        return (w.astype(fnp.float16) * x).sum().astype(fnp.float32)

    w, x = fnp.ones(3), fnp.full(3, 2.0**-15, fnp.float16)
    scale = nn.StaticLossScale(2.0**12)

    def scaled(w, x):
        return scale.scale(loss(w, x) * 2.0**-11)

    assert (ff.grad(lambda w, x: loss(w, x) * 2.0**-11)(w, x) == 0).all()  # 2 ** -26 is 0
    np.testing.assert_array_equal(scale.unscale(ff.grad(scaled)(w, x)), np.full(3, 2.0**-26))


def test_a_static_scale_stays():
    scale = nn.StaticLossScale(8.0)
    assert scale.adjust(False) is scale


def test_a_dynamic_scale_follows_the_gradients():
    """It doubles after three finite steps in succession, and halves after each other one."""
    finite = fnp.array([1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0], bool)
    expected = [8, 8, 16, 16, 8, 8, 8, 16, 8, 4, 2, 2, 2]
    start = nn.DynamicLossScale(8.0, period=3, min_loss_scale=2.0)

    def step(scale, finite):
        scale = scale.adjust(finite)
        return scale, scale.loss_scale

    _, scales = ff.jit(lambda start: ff.lax.scan(step, start, finite))(start)
    np.testing.assert_array_equal(scales, expected)


def test_a_scale_never_becomes_infinite():
    scale = nn.DynamicLossScale(2.0**127, period=1)
    assert scale.adjust(True).loss_scale == 2.0**127


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_all_finite(bad):
    check = ff.jit(nn.all_finite)
    assert check({"a": fnp.ones(3), "n": fnp.arange(2), "none": None})
    assert not check({"a": fnp.ones(3), "b": [fnp.array([1.0, bad])]})
    assert nn.all_finite(()) and nn.all_finite(fnp.ones(0))


def test_select_tree():
    a, b = {"w": fnp.ones(2), "n": fnp.int32(1)}, {"w": fnp.zeros(2), "n": fnp.int32(0)}
    for pred, chosen in ((True, a), (False, b)):
        got = ff.jit(nn.select_tree)(fnp.asarray(pred), a, b)
        assert all(map(np.array_equal, ff.tree.leaves(got), ff.tree.leaves(chosen)))
        assert got["n"].dtype == fnp.int32
    with pytest.raises(TreeStructureError):
        nn.select_tree(True, a, {"w": fnp.zeros(2)})


def test_a_step_with_bad_gradients_is_left_out():
    @ff.jit
    def step(params, loss_scale, x):
        def loss(params, x):
            return loss_scale.scale(((params["w"] * x).astype(fnp.float16) ** 2).sum())

        grads = loss_scale.unscale(ff.grad(loss)(params, x))
        finite = nn.all_finite(grads)
        new = ff.tree.map(lambda p, g: p - 0.1 * g, params, grads)
        return nn.select_tree(finite, new, params), loss_scale.adjust(finite)

    params, scale = {"w": fnp.ones(2)}, nn.DynamicLossScale(2.0**15)
    same, smaller = step(params, scale, fnp.full(2, 300.0))
    np.testing.assert_array_equal(same["w"], params["w"])
    assert smaller.loss_scale == 2.0**14
    moved, _ = step(params, nn.DynamicLossScale(4.0), fnp.ones(2))
    np.testing.assert_allclose(moved["w"], [0.8, 0.8], rtol=1e-3)
