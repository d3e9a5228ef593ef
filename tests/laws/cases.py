"""For every primitive, calls that bind it, at points where it is smooth: the input of the laws.

A case is a function of arrays and its arguments. Further options go to `check_laws`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np

import funcflow as ff
from funcflow import lax
from funcflow.lax.dimension_numbers import GatherDimensionNumbers, ScatterDimensionNumbers
from funcflow.lax.fused import fma
from funcflow.lax.index_check import check_index_p
from funcflow.lax.linalg import lu, lu_pivots_to_permutation
from funcflow.lax.prng import threefry2x32
from funcflow.lax.random_gamma import gamma_moment, random_gamma
from funcflow.lax.while_reverse import ended


class Case(NamedTuple):
    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]


def f32(*values: Any) -> np.ndarray[Any, Any]:
    return np.array(values, "float32")


def c64(*values: Any) -> np.ndarray[Any, Any]:
    return np.array(values, "complex64")


def i32(*values: Any) -> np.ndarray[Any, Any]:
    return np.array(values, "int32")


def u32(*values: Any) -> np.ndarray[Any, Any]:
    return np.array(values, "uint32")


# The laws of vmap make lanes by shrinking values to 80 %: points stay on one side of kinks.
X = f32(0.3, 0.5, 0.9)
Y = f32(1.5, 2.5, 1.7)
Z = c64(0.3 + 0.4j, 0.7 - 0.2j, -0.5 + 0.6j)
K, L = i32(5, -3, 7), i32(2, 4, 3)
B, C = np.array([True, False, True]), np.array([True, True, False])
MATRIX = f32([0.3, 0.9, 0.5], [1.7, 1.2, 0.7])
SQUARE = f32([2.0, 0.3, -0.4], [0.5, 1.8, 0.6], [-0.2, 0.4, 2.5])
COMPLEX_SQUARE = c64([2.0 + 1j, 0.3, -0.4j], [0.5, 1.8 - 1j, 0.6], [-0.2, 0.4j, 2.5])
SCALAR = np.float32(0.6)
ROWS = np.linspace(0.2, 1.4, 24, dtype="float32").reshape(2, 3, 4)
DISTINCT = f32(0.31, 0.97, 0.52, 1.9, 1.43, 0.11)


CASES: dict[str, list[Case]] = {}


def case(name: str, function: Callable[..., Any], *args: Any, **options: Any) -> None:
    CASES.setdefault(name, []).append(Case(function, args, options))


def each(names: str, *args: Any, **options: Any) -> None:
    """One case for each of several operations that bind a primitive of their own name."""
    for name in names.split():
        case(name, getattr(lax, name), *args, **options)


def along(names: str, x: Any, *fixed: Any, **options: Any) -> None:
    """The same for operations that take axes, or the like, beside an array."""
    for name in names.split():
        function = partial(_with_fixed, getattr(lax, name), fixed, options)
        case(name, function, x)


def _with_fixed(function: Any, fixed: Any, options: Any, x: Any) -> Any:
    return function(x, *fixed, **options)


# --- elementwise ------------------------------------------------------------------------------

each("acos asin atan acosh asinh atanh cos cosh exp exp2 expm1 log log1p logistic neg", Z)
each("rsqrt sin sinh sqrt square tan tanh abs conj real imag", Z)
each("acos asin atan asinh atanh cbrt cos cosh exp exp2 expm1 log log1p logistic neg", X)
each("rsqrt sin sinh sign sqrt square tan tanh abs", X)
each("acosh", Y)
each("ceil digamma erf erf_inv erfc floor is_finite lgamma round", f32(0.3, 0.7, 0.9))
each("add sub mul div pow", X, Y)
each("add sub mul div pow", Z, c64(1.2 - 0.3j, 0.8 + 0.5j, 0.9))
each("add sub mul div pow", MATRIX, X)
each("max min rem atan2 nextafter", f32(2.2, 0.4, 3.1), f32(0.7, 1.6, 5.0))
each("add sub mul div rem max min", K, L)
each("eq ne lt le gt ge", X, Y)
each("eq ne lt le gt ge", K, L)
each("shift_left shift_right_arithmetic shift_right_logical", K, L)
each("clz population_count", K)
for _name in ("and", "or", "xor"):
    case(_name, getattr(lax, f"bitwise_{_name}"), K, L)
    case(_name, getattr(lax, f"bitwise_{_name}"), B, C)
case("not", lax.bitwise_not, K)
case("not", lax.bitwise_not, B)
case("mulhi", lax.mulhi, u32(2**31, 7, 2**32 - 1), u32(2**30, 9, 2**32 - 1))
case("complex", lax.complex, X, Y)
case("integer_pow", lambda x: lax.integer_pow(x, 3), X)
case("integer_pow", lambda x: lax.integer_pow(x, -2), Z)
case("clamp", lax.clamp, f32(0.1, 0.6, 0.1), f32(0.3, 0.4, 0.9), f32(0.7, 0.8, 0.5))
case("select_n", lax.select_n, B, X, Y)
case("select_n", lax.select_n, i32(2, 0, 1), X, Y, f32(0.1, 0.2, 0.3))
case("polygamma", lambda x: lax.polygamma(np.float32(1), x), X)
case("fma", fma, X, Y, f32(0.1, 0.2, 0.3))
case("gamma_moment", lambda a, x: gamma_moment(a, x, f32(1, 1, -1), order=1), Y, f32(0.7, 1.5, 3.0))
case("stop_gradient", lax.stop_gradient, X, order=0)
case("copy", lambda x: lax.copy_p.bind(x), X)
case("optimization_barrier", lambda x, y: lax.optimization_barrier((x, y)), X, MATRIX)
case("name", lambda x: ff.checkpoint_name(lax.sin(x), "sine"), X)

# --- dtypes -----------------------------------------------------------------------------------

case("convert_element_type", lambda x: lax.convert_element_type(x, np.float64), X)
case("convert_element_type", lambda x: lax.convert_element_type(x, np.complex64), X)
case("convert_element_type", lambda x: lax.convert_element_type(x, np.float32), K)
case("bitcast_convert_type", lambda x: lax.bitcast_convert_type(x, np.int32), X)
# rounding has no difference quotient
case("reduce_precision", lambda x: lax.reduce_precision(x, 8, 7), X, order=0)

# --- shapes -----------------------------------------------------------------------------------

case("broadcast_in_dim", lambda x: lax.broadcast_in_dim(x, (2, 3, 4), (1,)), X)
case("broadcast_in_dim", lambda x: lax.broadcast_in_dim(x, (4, 2, 3), (1, 2)), MATRIX)
case("reshape", lambda x: lax.reshape(x, (3, 2)), MATRIX)
case("transpose", lambda x: lax.transpose(x, (2, 0, 1)), ROWS)
case("rev", lambda x: lax.rev(x, (0, 2)), ROWS)
case("concatenate", lambda x, y: lax.concatenate([x, y, x], 1), MATRIX, f32([0.2], [0.4]))
case("split", lambda x: lax.split(x, (1, 2), 1), MATRIX)
case("pad", lambda x, v: lax.pad(x, v, [(1, 2, 0), (0, -1, 1)]), MATRIX, SCALAR)
case("slice", lambda x: lax.slice(x, (0, 1), (2, 3)), MATRIX)
case("slice", lambda x: lax.slice(x, (0, 0, 1), (2, 3, 4), (1, 2, 2)), ROWS)
case("iota", lambda x: lax.mul(x, lax.iota(np.float32, 3)), X)
case("dynamic_slice", lambda x, i, j: lax.dynamic_slice(x, (i, j), (1, 2)), MATRIX, *i32(1, 1))
case(
    "dynamic_update_slice",
    lambda x, u, i: lax.dynamic_update_slice(x, u, (i,)),
    X,
    f32(0.7),
    np.int32(2),
)

# --- indexing ---------------------------------------------------------------------------------

_ROW = GatherDimensionNumbers((1,), (0,), (0,))
_INDICES = i32([1], [0], [1])
_UPDATES = f32([0.4, 0.8, 0.6], [1.1, 0.25, 1.3], [0.75, 2.0, 0.35])


def _scatter(name: str, mode: str) -> Callable[..., Any]:
    numbers = ScatterDimensionNumbers((1,), (0,), (0,))
    return lambda x, i, u: getattr(lax, name)(x, i, u, numbers, mode=mode)


for _mode in ("clip", "fill"):
    case("gather", lambda x, i, m=_mode: lax.gather(x, i, _ROW, (1, 3), mode=m), MATRIX, _INDICES)
for _name in ("scatter_add", "scatter_sub", "scatter_max", "scatter_min"):
    case(_name, _scatter(_name, "clip"), MATRIX, _INDICES, _UPDATES)
    case(_name, _scatter(_name, "drop"), MATRIX, i32([1], [0], [9]), _UPDATES)
case("scatter", _scatter("scatter", "clip"), MATRIX, _INDICES, _UPDATES)
case("scatter_mul", _scatter("scatter_mul", "clip"), MATRIX, _INDICES, _UPDATES)

# --- reductions -------------------------------------------------------------------------------

along("reduce_sum reduce_prod reduce_max reduce_min", MATRIX, (1,))
along("reduce_sum reduce_prod reduce_max reduce_min", ROWS, (0, 2))
along("reduce_and reduce_or", B, (0,))
along("reduce_and reduce_or reduce_xor", K, (0,))
along("argmax argmin", MATRIX, 1, np.int32)
along("cumsum cumprod cummax cummin cumlogsumexp", MATRIX, 1)
along("cumsum cumprod cummax cummin cumlogsumexp", DISTINCT, 0, reverse=True)
for _name, _function, _init in (
    ("sum", lax.add, 0.0),
    ("max", lax.max, -np.inf),
    ("min", lax.min, np.inf),
):
    case(
        f"reduce_window_{_name}",
        lambda x, f=_function, init=_init: lax.reduce_window(x, init, f, (3,), (2,), "SAME"),
        DISTINCT,
    )
case(
    "window_winners",
    lambda x, s: lax.select_and_scatter_add(s, x, lax.ge_p, (2,), (2,)),
    DISTINCT,
    X,
)
case("sort", lambda x: lax.sort(x), DISTINCT)
case("sort", lambda x, y: lax.sort((x, y), num_keys=1), DISTINCT, i32(1, 2, 3, 4, 5, 6))
case("top_k", lambda x: lax.top_k(x, 2), DISTINCT)

# --- products and linear algebra --------------------------------------------------------------

case("dot_general", lambda x, y: lax.dot_general(x, y, (((1,), (1,)), ((), ()))), MATRIX, SQUARE)
case(
    "dot_general",
    lambda x, y: lax.dot_general(x, y, (((2,), (1,)), ((0,), (0,)))),
    ROWS,
    ROWS.swapaxes(1, 2),
)
case("dot_general", lambda x, y: lax.dot_general(x, y, (((0,), (0,)), ((), ()))), Z, COMPLEX_SQUARE)
case(
    "conv_general_dilated",
    lambda x, w: lax.conv_general_dilated(x, w, (2,), [(1, 1)], rhs_dilation=(2,)),
    np.linspace(-1, 1, 14, dtype="float32").reshape(1, 2, 7),
    np.linspace(-1, 1, 12, dtype="float32").reshape(3, 2, 2),
)
case("cholesky", lambda x: lax.linalg.cholesky(lax.dot(x, lax.transpose(x, (1, 0)))), SQUARE)


def _eigenvalues(x: Any) -> Any:
    """A sum that does not depend on their order."""
    options = {"compute_left_eigenvectors": False, "compute_right_eigenvectors": False}
    (w,) = lax.linalg.eig(x, **options)
    return lax.reduce_sum(lax.sin(w), (0,))


for _matrix in (SQUARE, COMPLEX_SQUARE):
    case("eigh", lax.linalg.eigvalsh, _matrix)
    case("svd", lambda x: lax.linalg.svd(x, compute_uv=False), _matrix)
    case("qr", lax.linalg.qr, _matrix)
    case("eig", _eigenvalues, _matrix)
case("eigh", lambda x: lax.square(lax.linalg.eigh(x)[0]), SQUARE)
case("svd", lambda x: list(map(lax.square, lax.linalg.svd(x, full_matrices=False))), MATRIX)
case("qr", lax.linalg.qr, MATRIX)
case("lu", lambda x: lu(x)[0], SQUARE)
case("lu_pivots_to_permutation", lambda p: lu_pivots_to_permutation(p, 4), i32(2, 1, 3))
case("factored_solve", lax.linalg.solve, SQUARE, X)
case("factored_solve", lax.linalg.solve, COMPLEX_SQUARE, Z)
for _options in ({"left_side": True}, {"left_side": True, "lower": True, "transpose_a": True}):
    case(
        "triangular_solve",
        lambda a, b, o=_options: lax.linalg.triangular_solve(a, b, **o),
        SQUARE,
        MATRIX.T,
    )


def _linear_solve(a: Any, b: Any) -> Any:
    def matvec(x: Any) -> Any:
        return lax.dot(a, x)

    def transposed(_: Any, b: Any) -> Any:
        return lax.linalg.solve(lax.transpose(a, (1, 0)), b)

    return lax.custom_linear_solve(matvec, b, lambda _, b: lax.linalg.solve(a, b), transposed)


case("custom_linear_solve", _linear_solve, SQUARE, X)

# --- Fourier transforms -----------------------------------------------------------------------

SPECTRA = np.stack([ROWS - 0.7j * ROWS[::-1], 0.3j + ROWS * ROWS]).astype("complex64")[:, 0]
along("fft", Z, "fft", (3,))
along("fft", SPECTRA, "fft", (3, 4))
along("fft", SPECTRA, "ifft", (3, 4))
along("fft", X, "rfft", (3,))
along("fft", ROWS, "rfft", (4,))
along("fft", ROWS, "rfft", (2, 3, 4))
along("fft", Z, "irfft", (4,))
along("fft", Z, "irfft", (5,))
along("fft", SPECTRA, "irfft", (3, 6))
along("fft", SPECTRA, "irfft", (2, 3, 7))

# --- random numbers ---------------------------------------------------------------------------

case("threefry2x32", threefry2x32, *u32(13, 198, 2, 7))
case("threefry2x32", threefry2x32, np.uint32(1), np.uint32(2), u32(0, 1, 2), u32(3, 4, 5))
# a sample's derivative is that of its distribution, not that of the way it is drawn
case("random_gamma", lambda a: random_gamma(u32(1, 2, 3), u32(4, 5, 6), a), Y, order=0)

# --- control flow -----------------------------------------------------------------------------


def _while(n: Any, w: Any, x: Any) -> Any:
    body = lambda s: (lax.sub(s[0], np.int32(1)), lax.sin(lax.mul(w, s[1])))  # noqa: E731
    return lax.while_loop(lambda s: lax.gt(s[0], np.int32(0)), body, (n, x))[1]


for _pred in (np.bool_(True), np.bool_(False)):
    case(
        "cond",
        lambda p, w, x: lax.cond(p, lambda x: lax.sin(lax.mul(w, x)), lax.exp, x),
        _pred,
        SCALAR,
        X,
    )
case(
    "scan",
    lambda w, c, xs: lax.scan(lambda c, x: (lax.sin(lax.add(lax.mul(w, c), x)), c), c, xs),
    SCALAR,
    SCALAR,
    X,
)
case(
    "progress",
    lambda w, c: lax.fori_loop(0, 3, lambda i, c: lax.sin(lax.mul(w, c)), c, progress="loop"),
    SCALAR,
    SCALAR,
)
case("while", _while, np.int32(3), SCALAR, X)


def _reverse_while(n: Any, w: Any, x: Any, cts: Any) -> Any:
    return ff.vjp(lambda w, x: _while(n, w, x), w, x)[1](cts)


case("reverse_while", _reverse_while, np.int32(3), SCALAR, X, Y)
case("ended", ended, np.int32(3))
case(
    "check_index",
    lambda i: check_index_p.bind(i, caller="f", extent=3, axis=0, size=1, from_end=True),
    i32(0, -1, 3),
)

# --- named axes -------------------------------------------------------------------------------

_SHIFT = ((0, 1), (1, 2), (2, 0))
_COLLECTIVES: dict[str, Callable[[Any], Any]] = {
    "all_gather": lambda x: lax.all_gather(x, "i"),
    "all_to_all": lambda x: lax.all_to_all(x, "i", 0, 0),
    "axis_index": lambda x: lax.mul(x, lax.convert_element_type(lax.axis_index("i"), x.dtype)),
    "pmax": lambda x: lax.pmax(x, "i"),
    "pmin": lambda x: lax.pmin(x, "i"),
    "ppermute": lambda x: lax.ppermute(x, "i", _SHIFT),
    "psum": lambda x: lax.psum(x, "i"),
    "psum_scatter": lambda x: lax.psum_scatter(x, "i"),
}
_LANES = f32([0.4, 0.8, 0.6], [1.1, 0.25, 1.3], [0.75, 2.0, 0.35])
for _name, _function in _COLLECTIVES.items():
    case(_name, ff.vmap(_function, axis_name="i"), _LANES)
    case(_name, ff.pmap(_function, axis_name="i"), _LANES)
case("pmap", ff.pmap(lambda w, x: lax.sin(lax.mul(w, x)), in_axes=(None, 0)), SCALAR, X)

# --- functions as operations ------------------------------------------------------------------


@ff.custom_jvp
def _cube(x: Any) -> Any:
    return lax.mul(lax.mul(x, x), x)


_cube.defjvp(lambda p, t: (_cube(*p), lax.mul(lax.mul(3, lax.mul(p[0], p[0])), t[0])))


@ff.custom_vjp
def _product(x: Any, y: Any) -> Any:
    return lax.mul(x, y)


_product.defvjp(
    lambda x, y: (_product(x, y), (x, y)),
    lambda saved, ct: (lax.mul(ct, saved[1]), lax.mul(ct, saved[0])),
)


class _Sine(ff.custom_rule):
    def call(self, x: Any) -> Any:
        return lax.sin(x)

    def linearize(self, x: Any) -> tuple[Any, Any]:
        return self(x), lax.cos(x)

    def tangent(self, slope: Any, t: Any) -> Any:
        return lax.mul(slope, t)

    def cotangent(self, slope: Any, ct: Any) -> tuple[Any, ...]:
        return (lax.mul(slope, ct),)


def _with_callback(x: Any) -> Any:
    result = ff.ShapeDtypeStruct(x.shape, x.dtype)
    return ff.pure_callback(np.cbrt, result, x, vmap_method="expand_dims")


def _with_io_callback(x: Any) -> Any:
    return ff.io_callback(np.cbrt, ff.ShapeDtypeStruct(x.shape, x.dtype), x)


@numba.njit
def _reversed_sine(x: Any, out: Any) -> None:
    out[:] = np.sin(x[::-1])


def _watched(x: Any) -> Any:
    ff.debug.callback(lambda _: None, x)
    return lax.sin(x)


case("jit", ff.jit(lambda x, y: (lax.sin(lax.mul(x, y)), x)), X, Y)
case("checkpoint", ff.checkpoint(lambda x, y: lax.sin(lax.mul(lax.sin(x), y))), X, Y)
case("custom_jvp_call", _cube, X)
case("custom_rule_call", _Sine(), X)
case("linear_call", lambda x, t: ff.jvp(_Sine(), (x,), (t,))[1], X, Y)
case("custom_vjp_call", _product, X, Y, modes=("jit", "vmap", "rev"))
case("pure_callback", _with_callback, X, order=0)
case("io_callback", _with_io_callback, X, order=0)
case("numba_kernel", ff.numba_kernel(_reversed_sine, out=lambda x: x), X, order=0)
case("debug_callback", _watched, X)

# Primitives without a case of their own, and why.
EXEMPT = {
    "custom_lin": "stands in linear jaxprs only: the reverse derivative of custom_vjp_call has it",
}
