"""Operators and methods of arrays, concrete and traced."""

import copy
import operator

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import LeafTypeError, OutOfBoundsError, ShapeError
from funcflow.testing import check_laws

ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]
BITS = ["and_", "or_", "xor", "lshift", "rshift"]
X = np.float32([[1.5, 2.0, 0.5], [3.0, 0.25, 4.0]])
OTHERS = [2, 2.0, np.float32(2), np.float32([1, 2, 3]), "array"]


def other_operand(other):
    return fnp.array([1.0, 2, 3]) if isinstance(other, str) else other


@pytest.mark.parametrize("other", OTHERS, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("name", [*ARITHMETIC, *COMPARISONS])
def test_operators(name, other):
    f, y = getattr(operator, name), other_operand(other)
    plain = np.asarray(y, "float32")
    for left, right in (
        (f(fnp.asarray(X), y), f(X, plain)),
        (f(y, fnp.asarray(X)), f(plain, X)),
        (ff.jit(f)(fnp.asarray(X), y), f(X, plain)),
        (ff.jit(lambda x: f(y, x))(fnp.asarray(X)), f(plain, X)),
    ):
        assert isinstance(left, ff.Array)
        assert left.dtype == right.dtype
        np.testing.assert_allclose(left, right, rtol=1e-6)


@pytest.mark.parametrize("name", BITS)
def test_operators_of_integers(name):
    f, x = getattr(operator, name), np.int32([5, 3, 8])
    for y in (2, np.int32([1, 2, 3])):
        for left, right in ((x, y), (y, x)):
            a, b = (fnp.asarray(v) if v is x else v for v in (left, right))
            expected = f(left, right)
            assert f(a, b).tolist() == expected.tolist()
            assert ff.jit(f)(a, b).tolist() == expected.tolist()
            assert f(a, b).dtype == "int32"


def test_unary_operators():
    x = fnp.asarray(X)
    for function in (operator.neg, operator.pos, abs, round):
        np.testing.assert_array_equal(
            function(x), function(X) if function is not round else X.round()
        )
        assert ff.jit(function)(x).tolist() == function(x).tolist()
    assert (~fnp.array([True, False])).tolist() == [False, True]
    assert round(fnp.array(1.26), 1) == np.float32(1.3)


def test_matmul():
    a, b = fnp.asarray(X), fnp.asarray(X.T)
    np.testing.assert_allclose(a @ b, X @ X.T, rtol=1e-6)
    np.testing.assert_allclose(ff.jit(operator.matmul)(a, b), X @ X.T, rtol=1e-6)
    np.testing.assert_allclose(X @ b, X @ X.T, rtol=1e-6)
    check_laws(operator.matmul, (a, b))


def test_divmod():
    for quotient, rest in (divmod(fnp.array(7.5), 2), ff.jit(divmod)(fnp.array(7.5), 2)):
        assert (quotient, rest) == (3, 1.5)
    assert [x.item() for x in divmod(7, fnp.array(-2))] == [-4, -1]


def test_weak_scalars_keep_the_dtype():
    for dtype in ("float16", "bfloat16", "float32", "float64", "complex64"):
        x = fnp.ones(2, dtype)
        for out in (x + 1, 1 - x, x * 2.5, 2.5 / x, x**2, x**0.5):
            assert (out.dtype, out.weak_type) == (dtype, False)
    assert (fnp.arange(3) * 2.0).dtype == "float32"
    assert (fnp.arange(3) * 2.0).weak_type
    assert (fnp.ones(2, "uint8") + 1).dtype == "uint8"
    assert (fnp.ones(2, bool) + 1).dtype == "int32"


def test_other_classes_may_take_over():
    class Unit:
        def __radd__(self, other):
            return "radd"

        def __eq__(self, other):
            return "eq"

        __hash__ = None

    assert fnp.ones(2) + Unit() == "radd"
    assert (fnp.ones(2) == Unit()) == "eq"


def test_operands_that_are_no_arrays():
    x = fnp.ones(2)
    with pytest.raises(TypeError, match="unsupported operand"):
        x + "text"
    with pytest.raises(TypeError, match="unsupported operand"):
        x - None
    with pytest.raises(LeafTypeError, match="add: an array and a list do not combine"):
        x + [1, 2]
    with pytest.raises(LeafTypeError, match="equal: an array and a tuple"):
        x == (1, 2)  # noqa: B015
    assert (x == None) is False  # noqa: E711
    assert (x != None) is True  # noqa: E711
    with pytest.raises(ShapeError):
        x + fnp.ones(3)


# --- indexing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, -1, slice(None), slice(1, 2), slice(None, None, -1)])
def test_plain_indices(index):
    np.testing.assert_array_equal(fnp.asarray(X)[index], X[index])
    np.testing.assert_array_equal(ff.jit(lambda x: x[index])(fnp.asarray(X)), X[index])
    check_laws(lambda x: x[index], (fnp.asarray(X),))


def test_elements_are_arrays():
    x = fnp.asarray(X)[0]
    assert isinstance(x[1], ff.Array)
    assert (x[1].shape, x[1].dtype) == ((), "float32")


@pytest.mark.parametrize("index", [2, -3])
def test_out_of_bounds(index):
    with pytest.raises(OutOfBoundsError, match=str(index)):
        fnp.asarray(X)[index]


def test_updates():
    assert fnp.zeros(3).at[1].set(2.0).tolist() == [0, 2, 0]
    assert ff.grad(lambda x: x.at[0].multiply(3.0).sum())(fnp.ones(2)).tolist() == [3, 1]


# --- methods ----------------------------------------------------------------------------------

METHODS = {
    "all": (),
    "any": (),
    "argmax": (1,),
    "argmin": (),
    "argsort": (),
    "cumprod": (0,),
    "cumsum": (1,),
    "diagonal": (1,),
    "flatten": (),
    "max": (0,),
    "mean": (1,),
    "min": (),
    "nonzero": (),
    "prod": (0,),
    "ravel": (),
    "repeat": (2, 1),
    "reshape": (3, -1),
    "round": (1,),
    "squeeze": (),
    "std": (),
    "sum": (1,),
    "swapaxes": (0, 1),
    "trace": (),
    "transpose": (1, 0),
    "var": (0,),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods(agrees, name):
    jit = name != "nonzero"  # whose shape depends on values
    agrees(lambda xp, x: getattr(x, name)(*METHODS[name]), X, jit=jit)


def test_methods_that_take_arrays(agrees):
    agrees(lambda xp, x, y: x.dot(y), X, X.T)
    agrees(lambda xp, x, i: x.take(i, 1), X, np.array([2, 0]))
    agrees(lambda xp, x, v: x.searchsorted(v), np.array([1.0, 2, 3]), np.array([2.5, 0]))
    agrees(lambda xp, x: xp.asarray(x.clip(1, 2)), X)
    agrees(lambda xp, c: c.choose([xp.zeros(3), xp.ones(3)]), np.array([0, 1, 0]), jit=False)
    agrees(lambda xp, x: x.compress(np.array([False, True]), 0), X, jit=False)
    agrees(lambda xp, x: x.reshape((6,)), X)
    agrees(lambda xp, x: x.transpose((1, 0)), X)
    agrees(lambda xp, x: x.transpose(None), X)
    assert fnp.asarray(X).ptp() == 3.75
    assert fnp.array([3, 1, 2]).sort().tolist() == [1, 2, 3]
    assert fnp.array([3, 1, 2]).argpartition(0)[0] == 1


def test_attributes(agrees):
    z = X + 1j
    for name in ("T", "mT", "real", "imag"):
        agrees(lambda xp, z, name=name: getattr(z, name), z)
    agrees(lambda xp, z: z.conj() + z.conjugate(), z)
    assert fnp.asarray(X).copy().tolist() == X.tolist()


def test_astype():
    x = fnp.asarray(X)
    assert x.astype("int8").dtype == "int8"
    assert x.astype(float).dtype == "float32"
    assert ff.jit(lambda x: x.astype(complex))(x).dtype == "complex64"
    assert (fnp.arange(3) * 2.0).astype("float32").weak_type is False
    check_laws(lambda x: x.astype("float64") * 2, (x,))


def test_view():
    x = fnp.array([1.0, -2.0])
    assert x.view("int32").tolist() == np.float32([1, -2]).view("int32").tolist()
    assert x.view("uint8").tolist() == np.float32([1, -2]).view("uint8").tolist()
    assert x.view("uint8").view("float32").tolist() == [1, -2]
    assert ff.jit(lambda x: x.view("float64"))(x).shape == (1,)
    assert fnp.array(1.0).view("int32").shape == ()
    assert x.view() is x
    with pytest.raises(ShapeError):
        fnp.ones(3).view("float64")


def test_copies_are_the_array_itself():
    x = fnp.ones(2)
    assert copy.copy(x) is x
    assert copy.deepcopy([x])[0] is x


def test_the_same_methods_on_tracers():
    def f(x):
        assert x.T.shape == (3, 2)
        return (x.at[0].set(1.0).reshape(-1)[::2] @ x.sum(0)).mean() + x.max()

    expected = f(fnp.asarray(X))
    assert ff.jit(f)(fnp.asarray(X)) == expected
    check_laws(f, (fnp.asarray(X),))
