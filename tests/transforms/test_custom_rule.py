"""One rule object for forward mode, reverse mode and vmap, through every transform."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax
from funcflow.testing import check_laws


class Product(ff.custom_rule):
    """x^2 y."""

    def call(self, x, y):
        return x * x * y

    def linearize(self, x, y):
        return self(x, y), {"x": x, "y": y}

    def tangent(self, kept, dx, dy):
        return 2 * kept["x"] * kept["y"] * dx + kept["x"] ** 2 * dy


class WithCotangent(Product):
    def cotangent(self, kept, ct):
        return 2 * kept["x"] * kept["y"] * ct, kept["x"] ** 2 * ct


class WithBatch(WithCotangent):
    def batch(self, size, in_batched, x, y):
        x = x if in_batched[0] else fnp.stack([x] * size)
        y = y if in_batched[1] else fnp.stack([y] * size)
        return x * x * y, True


class Marked(WithBatch):
    """Every method is told by a factor."""

    def linearize(self, x, y):
        return 2 * x * x * y, {"x": x, "y": y}

    def tangent(self, kept, dx, dy):
        return 10 * super().tangent(kept, dx, dy)

    def cotangent(self, kept, ct):
        return tuple(100 * c for c in super().cotangent(kept, ct))

    def batch(self, size, in_batched, x, y):
        out, mapped = super().batch(size, in_batched, x, y)
        return 1000 * out, mapped


RULES = pytest.mark.parametrize("rule", [Product(), WithCotangent(), WithBatch()])
X, Y = np.array([0.5, -1.0]), np.array([2.0, 3.0])


@RULES
def test_laws(rule):
    check_laws(rule, (X, Y), order=2)


@RULES
@pytest.mark.parametrize("outer", [ff.jacfwd, ff.jacrev])
@pytest.mark.parametrize("inner", [ff.jacfwd, ff.jacrev])
def test_second_derivatives_in_all_orders(rule, outer, inner):
    derivative = outer(inner(rule, (0, 1)), (0, 1))
    for f in (derivative, ff.jit(derivative)):
        got = [[float(v) for v in row] for row in f(2.0, 3.0)]
        assert got == [[6, 4], [4, 0]]
    second = ff.grad(ff.grad(rule))
    assert [float(d) for d in ff.grad(second, (0, 1))(2.0, 3.0)] == [0, 2]


@RULES
def test_inside_loops_branches_and_checkpoint(rule):
    loop = lambda x: lax.scan(lambda c, _: (rule(c, 0.5), None), x, None, length=3)[0]  # noqa: E731
    np.testing.assert_allclose(ff.grad(loop)(1.5), 8 * 1.5**7 / 2**7, rtol=1e-6)
    branch = lambda x: lax.cond(x > 0, rule, fnp.multiply, x, 3.0)  # noqa: E731
    np.testing.assert_allclose(ff.vmap(ff.grad(branch))(X), [3, 3])
    assert float(ff.grad(ff.checkpoint(rule))(2.0, 3.0)) == 12
    with ff.config(num_cpu_devices=2):
        np.testing.assert_allclose(ff.pmap(ff.grad(rule))(X, Y), 2 * X * Y)


@RULES
def test_shared_arguments_and_nested_maps(rule):
    total = lambda x, y: fnp.sum(ff.vmap(rule, (0, None))(x, y))  # noqa: E731
    for transform in (lambda f: f, ff.jit):
        x_bar, y_bar = transform(ff.grad(total, (0, 1)))(X, 2.0)
        np.testing.assert_allclose(x_bar, 4 * X)
        np.testing.assert_allclose(y_bar, np.sum(X * X))
    table = ff.vmap(ff.vmap(rule, (None, 0)), (0, None))(X, Y)
    np.testing.assert_allclose(table, X[:, None] ** 2 * Y)


def test_each_method_is_used_where_it_belongs():
    rule, x, y = Marked(), fnp.float32(2), fnp.float32(3)
    assert float(rule(x, y)) == float(ff.jit(rule)(x, y)) == 12
    out, tangent = ff.jvp(rule, (x, y), (1.0, 0.0))
    assert (float(out), float(tangent)) == (24, 120)
    for transform in (lambda f: f, ff.jit):
        assert float(transform(ff.grad(rule))(x, y)) == 1200
        mapped = transform(ff.vmap(rule))(fnp.stack([x]), fnp.stack([y]))
        assert float(mapped[0]) == 12000


class Pair(ff.custom_rule):
    """Trees, integers, None."""

    def __init__(self, power):
        self.power = power

    def call(self, p, n):
        return {"y": p["a"] ** self.power * n, "n": n}

    def linearize(self, p, n):
        return self(p, n), (p["a"], n)

    def tangent(self, kept, dp, dn):
        a, n = kept
        return {"y": self.power * a ** (self.power - 1) * n * dp["a"], "n": dn}

    def cotangent(self, kept, ct):
        a, n = kept
        return {"a": self.power * a ** (self.power - 1) * n * ct["y"], "b": 0.0}, None

    def batch(self, size, in_batched, p, n):
        assert in_batched == ({"a": True, "b": False}, False)
        return self.call(p, n), {"y": True, "n": False}


def test_trees_and_integers():
    rule, p = Pair(2), {"a": 2.0, "b": 1.0}
    out, tangent = ff.jvp(lambda p: rule(p, 5), (p,), (p,))
    assert (float(out["y"]), float(tangent["y"]), tangent["n"].dtype) == (20, 40, ff.float0)
    gradient = ff.grad(lambda p: rule(p, 5)["y"])(p)
    assert (float(gradient["a"]), float(gradient["b"])) == (20, 0)
    out = ff.vmap(rule, ({"a": 0, "b": None}, None), {"y": 0, "n": 0})({"a": X, "b": 1.0}, 5)
    np.testing.assert_allclose(out["y"], X * X * 5)
    np.testing.assert_array_equal(out["n"], [5, 5])


def test_a_kernel_behind_a_callback():
    class Cbrt(ff.custom_rule):
        def call(self, x):
            return ff.pure_callback(np.cbrt, x, x, vmap_method="expand_dims")

        def linearize(self, x):
            y = self(x)
            return y, y

        def tangent(self, y, dx):
            return dx / (3 * y * y)

    x = np.array([1.0, 8.0])
    np.testing.assert_allclose(ff.jit(ff.vmap(ff.grad(ff.grad(Cbrt()))))(x), [-2 / 9, -1 / 144])


def broken(**methods):
    return type("Broken", (Product,), methods)()


@pytest.mark.parametrize(
    ("rule", "error", "match"),
    [
        (type("Empty", (ff.custom_rule,), {})(), errors.ArgumentError, "no method linearize"),
        (broken(linearize=lambda s, x, y: x), errors.TreeStructureError, "linearize.*pair"),
        (broken(tangent=lambda s, *a: (1.0, 2.0)), errors.TreeStructureError, "tangent: expected"),
        (broken(tangent=lambda s, *a: np.ones(5)), errors.ShapeError, "tangent: got f64"),
        (broken(cotangent=lambda s, *a: 1.0), errors.TreeStructureError, "cotangent must return"),
        (
            broken(cotangent=lambda s, *a: (np.ones(5), None)),
            errors.ShapeError,
            "cotangent: got f64",
        ),
    ],
)
def test_rules_are_checked(rule, error, match):
    with pytest.raises(error, match=match):
        ff.grad(rule)(1.0, 2.0)


def test_batch_is_checked():
    rule = broken(batch=lambda s, size, mapped, x, y: (fnp.sum(x), True))
    with pytest.raises(errors.ShapeError, match=r"batch: a result is f64.*2 lanes"):
        ff.vmap(rule)(X, Y)
    with pytest.raises(errors.TreeStructureError, match="batch must return a pair"):
        ff.vmap(broken(batch=lambda s, size, mapped, x, y: x))(X, Y)


def test_golden_text(golden):
    rule, x = WithCotangent(), fnp.ones(2)
    texts = [ff.make_jaxpr(f)(x, x) for f in (rule, ff.vmap(rule))]
    texts.append(ff.make_jaxpr(lambda x, t: ff.jvp(rule, (x, x), (t, t)))(x, x))
    golden("transform_custom_rule.txt", "\n".join(map(str, texts)) + "\n")
