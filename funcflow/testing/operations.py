"""The operations of random programs on values alone; `calls` has those that take functions."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.testing.writer import Operation, Shape, Writer

# --- elementwise --------------------------------------------------------------------------------

_UNARY: dict[str, Sequence[Callable[[Any], Any]]] = {
    "b": [lax.bitwise_not],
    "i": [lax.neg, lax.abs, lax.sign, lax.square, lax.bitwise_not, lax.population_count, lax.clz],
    "u": [lax.neg, lax.sign, lax.square, lax.bitwise_not, lax.population_count, lax.clz],
    "f": [
        *(lax.neg, lax.abs, lax.sign, lax.square, lax.sqrt, lax.floor, lax.ceil, lax.reciprocal),
        *(lax.is_finite, lax.optimization_barrier, lax.stop_gradient),
        lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO),
        lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN),
        lambda x: lax.reduce_precision(x, 5, 7),
    ],
    "c": [lax.neg, lax.conj, lax.real, lax.imag],
}
_SMOOTH: dict[str, Sequence[Callable[[Any], Any]]] = {
    "f": [
        *(lax.exp, lax.exp2, lax.expm1, lax.tanh, lax.sin, lax.cos, lax.tan, lax.logistic),
        *(lax.erf, lax.erfc, lax.sinh, lax.cosh, lax.atan, lax.asinh, lax.cbrt, lax.rsqrt),
        *(lax.log, lax.log1p),
        *(lambda x, n=n: lax.integer_pow(x, n) for n in (-2, -1, 0, 1, 2, 3, 5)),
    ],
    "c": [
        *(lax.exp, lax.sin, lax.cos, lax.tanh, lax.sqrt, lax.log, lax.abs, lax.square, lax.sign),
        *(lambda x, n=n: lax.integer_pow(x, n) for n in (-2, 0, 3)),
    ],
}
_COMPARISONS = [lax.lt, lax.le, lax.gt, lax.ge, lax.eq, lax.ne]
_BITS = [lax.bitwise_and, lax.bitwise_or, lax.bitwise_xor]
_SHIFTS = [lax.shift_left, lax.shift_right_arithmetic, lax.shift_right_logical]
_BINARY: dict[str, Sequence[Callable[[Any, Any], Any]]] = {
    "b": [*_BITS, lax.add, lax.mul, lax.max, lax.min, *_COMPARISONS],
    "i": [
        *(lax.add, lax.sub, lax.mul, lax.div, lax.rem, lax.max, lax.min, lax.mulhi),
        *(*_BITS, *_SHIFTS, *_COMPARISONS),
    ],
    "f": [
        *(lax.add, lax.add, lax.sub, lax.sub, lax.mul, lax.mul, lax.div, lax.rem),
        *(lax.max, lax.min, lax.nextafter, *_COMPARISONS),
    ],
    "c": [lax.add, lax.sub, lax.eq, lax.ne],
}
_BINARY["u"] = _BINARY["i"]


def _unary(w: Writer) -> Any:
    x = w.pick()
    return w.choose(_UNARY[dtypes.kind(x.dtype)])(x)


def _binary(w: Writer) -> Any:
    x = w.pick()
    y = w.partner(x)
    function = w.choose(_BINARY[dtypes.kind(x.dtype)])
    return function(y, x) if w.chance(0.4) else function(x, y)


def _smooth(w: Writer) -> Any:
    """A transcendental function, most often where it is well conditioned."""
    x = w.pick("fc")
    if dtypes.kind(x.dtype) == "f" and w.chance(0.7):
        x = w.bounded(x, -4, 4)
    return w.choose(_SMOOTH[dtypes.kind(x.dtype)])(x)


def _smooth_on_interval(w: Writer) -> Any:
    """A function that has its values from an interval only."""
    x = w.pick("f")
    unit = [lax.asin, lax.acos, lax.atanh, lax.erf_inv]
    positive = [lax.log, lax.rsqrt, lax.lgamma, lax.digamma]
    if w.chance(0.5):
        return w.choose(unit)(w.bounded(x, -0.75, 0.75))
    return w.choose(positive)(w.bounded(lax.abs(x), 0.25, 8))


def _smooth_binary(w: Writer) -> Any:
    x = w.pick("fc")
    y = w.partner(x)
    if dtypes.kind(x.dtype) == "c":
        return w.choose([lax.mul, lax.div])(x, y)
    if w.chance(0.5):
        return lax.atan2(x, y)
    y = w.bounded(w.like(w.choose(w.values), (), x.dtype), -3, 3)
    return lax.pow(w.bounded(lax.abs(x), 0.125, 4), y)


def _select(w: Writer) -> Any:
    x = w.pick()
    y = w.like(w.choose(w.values), x.shape, x.dtype)
    if w.chance(0.2):
        which = w.bounded(w.like(w.choose(w.values), x.shape, np.dtype(np.int32)), 0, 2)
        return lax.select_n(which, x, y, lax.max(x, y) if dtypes.kind(x.dtype) != "c" else x)
    condition = w.find("b")
    if condition is None or condition.shape not in (x.shape, ()):
        condition = w.like(w.choose(w.values), w.choose([x.shape, ()]), np.dtype(bool))
    return lax.select_n(condition, x, y)


def _clamp(w: Writer) -> Any:
    x = w.pick("iuf")
    return lax.clamp(w.number(x.dtype), x, w.number(x.dtype))


def _convert(w: Writer) -> Any:
    x = w.pick()
    dtype = w.choose(w.dtypes) if w.chance(0.7) else w.choose(dtypes.ALL)
    return lax.convert_element_type(x, dtype)


def _bitcast(w: Writer) -> Any:
    """The bits of a value, worked on as an integer so that no NaN's payload is read."""
    x = w.pick("iu")
    size = w.choose([1, 2, 4, 8])
    if size > x.dtype.itemsize:
        return None
    return lax.bitcast_convert_type(x, np.dtype(f"{w.choose('iu')}{size}"))


def _complex_of(w: Writer) -> Any:
    x = w.pick("f")
    if x.dtype.itemsize < 4:
        return None
    return lax.complex(x, w.like(w.choose(w.values), x.shape, x.dtype))


# --- shapes -------------------------------------------------------------------------------------


def _transposed(w: Writer) -> Any:
    x = w.pick(ndim=2)
    return lax.transpose(x, [int(i) for i in w.rng.permutation(x.ndim)])


def _reshaped(w: Writer) -> Any:
    x = w.pick()
    same_size = [s for s in w.shapes if prod(s) == x.size]
    shapes = [(x.size,), (1, *x.shape), (*x.shape, 1), *same_size, *same_size]
    if x.ndim > 1:
        shapes += [(x.shape[0], prod(x.shape[1:])), (prod(x.shape[:-1]), x.shape[-1])]
    shapes += [(n, x.size // n) for n in (2, 3, 7) if x.size % n == 0]
    shape = w.choose(shapes)
    return lax.reshape(x, shape) if len(shape) <= 5 else None


def _broadcast(w: Writer) -> Any:
    x = w.pick()
    for _ in range(3):
        shape = list(x.shape) if w.chance(0.5) else [w.choose([n, n, 7]) for n in x.shape]
        shape = [m if n == 1 else n for n, m in zip(x.shape, shape, strict=True)]
        dims = sorted(int(i) for i in w.rng.permutation(x.ndim + 1)[: x.ndim])
        free = next(i for i in range(x.ndim + 1) if i not in dims)
        shape.insert(free, w.choose([n for s in w.shapes for n in s] or [2]))
        if prod(shape) <= w.limit and len(shape) <= 4:
            return lax.broadcast_in_dim(x, shape, dims)
    return None


def _sliced(w: Writer) -> Any:
    x = w.pick(ndim=1)
    starts = [w.integer(0, n) if w.chance(0.4) else 0 for n in x.shape]
    limits = [w.integer(a, n) if w.chance(0.4) else n for a, n in zip(starts, x.shape, strict=True)]
    return lax.slice(x, starts, limits, [w.choose([1, 1, 2, 3]) for _ in x.shape])


def _reversed(w: Writer) -> Any:
    x = w.pick(ndim=1)
    return lax.rev(x, w.axes(x.ndim))


def _padded(w: Writer) -> Any:
    x = w.pick(ndim=1, room=4)
    config = []
    for n in x.shape:
        inside = w.choose([0, 0, 1, 2])
        full = n + max(n - 1, 0) * inside
        low = w.integer(-min(2, full), 2)
        config.append((low, w.integer(-min(2, full + low), 2), inside))
    if (
        prod(n + a + b + max(n - 1, 0) * i for n, (a, b, i) in zip(x.shape, config, strict=True))
        > w.limit
    ):
        return None
    return lax.pad(x, w.number(x.dtype), config)


def _joined(w: Writer) -> Any:
    x = w.pick(ndim=1, room=3)
    axis = w.integer(0, x.ndim - 1)
    parts = [x]
    for _ in range(w.integer(1, 2)):
        shape = list(x.shape)
        shape[axis] = w.integer(0, x.shape[axis])
        parts.append(w.like(w.choose(w.values), tuple(shape), x.dtype))
    order = w.rng.permutation(len(parts))
    return lax.concatenate([parts[i] for i in order], axis)


def _split(w: Writer) -> Any:
    x = w.pick(ndim=1)
    axis = w.integer(0, x.ndim - 1)
    first = w.integer(0, x.shape[axis])
    return list(lax.split(x, [first, x.shape[axis] - first], axis))


def _counted(w: Writer) -> Any:
    x = w.pick("iuf", ndim=1)
    return lax.broadcasted_iota(x.dtype, x.shape, w.integer(0, x.ndim - 1))


# --- reductions ---------------------------------------------------------------------------------


def _reduction(w: Writer, functions: dict[str, Sequence[Callable[..., Any]]]) -> Any:
    x = w.pick("".join(functions), ndim=1)
    return w.choose(functions[dtypes.kind(x.dtype)])(x, w.axes(x.ndim))


def _reduced(w: Writer) -> Any:
    extrema = [lax.reduce_max, lax.reduce_min]
    bits = [lax.reduce_and, lax.reduce_or, lax.reduce_xor]
    sums = [lax.reduce_sum, lax.reduce_prod]
    return _reduction(
        w,
        {
            "b": [*extrema, *bits],
            "i": [*extrema, *bits, *sums],
            "u": [*extrema, *bits, *sums],
            "f": extrema,
        },
    )


def _summed(w: Writer) -> Any:
    sums = [lax.reduce_sum, lax.reduce_sum, lax.reduce_sum, lax.reduce_prod]
    return _reduction(w, {"f": sums, "c": sums})


def _centred(w: Writer) -> Any:
    """A value of a row used with the row again, as softmax and layer norms do."""
    x = w.pick("f", ndim=1)
    axes = w.axes(x.ndim)
    row = lax.reduce_max(x, axes) if w.exact or w.chance(0.5) else lax.reduce_sum(x, axes)
    row = lax.expand_dims(row, axes)
    return w.choose([lax.sub, lax.div, lax.mul])(x, row)


def _position(w: Writer) -> Any:
    x = w.pick("biuf", ndim=1, elements=1)
    index = w.choose([np.int32, np.int64, np.uint8])
    return w.choose([lax.argmax, lax.argmin])(x, w.integer(0, x.ndim - 1), index)


def _cumulated(w: Writer) -> Any:
    functions: dict[str, Sequence[Callable[..., Any]]] = {
        "i": [lax.cummax, lax.cummin, lax.cumsum, lax.cumprod],
        "f": [lax.cummax, lax.cummin] + ([] if w.exact else [lax.cumsum, lax.cumprod]),
    }
    x = w.pick("if", ndim=1)
    function = w.choose(functions[dtypes.kind(x.dtype)])
    return function(x, w.integer(0, x.ndim - 1), w.chance(0.3))


def _sorted(w: Writer) -> Any:
    x = w.pick(ndim=1)
    axis = w.integer(0, x.ndim - 1)
    if w.chance(0.4):
        return lax.sort(x, axis)
    if w.chance(0.3) and x.dtype.kind != "c":
        return list(lax.top_k(x, w.integer(0, x.shape[axis]), axis=axis))
    y = w.like(w.choose(w.values), x.shape, w.choose(w.values).dtype)
    return list(lax.sort((x, y), axis, num_keys=w.integer(1, 2)))


# --- indexing -----------------------------------------------------------------------------------


def _dynamic_sliced(w: Writer) -> Any:
    x = w.pick(ndim=1, elements=1)
    sizes = [w.integer(1, n) for n in x.shape]
    return lax.dynamic_slice(x, [w.index(n) for n in x.shape], sizes)


def _dynamic_updated(w: Writer) -> Any:
    x = w.pick(ndim=1, elements=1)
    shape = tuple(w.integer(1, n) for n in x.shape)
    update = w.like(w.choose(w.values), shape, x.dtype)
    return lax.dynamic_update_slice(x, update, [w.index(n) for n in x.shape])


def _windows(w: Writer, x: Any) -> tuple[Shape, Shape, Any, Any]:
    """Some axes to index and the window's extents; the indices, and what to do outside."""
    indexed = w.axes(x.ndim)
    sizes = tuple(
        1 if i in indexed and w.chance(0.7) else w.integer(1, n) for i, n in enumerate(x.shape)
    )
    count = w.integer(1, 6)
    indices = lax.stack([w.index(x.shape[i] - 1, (count,)) for i in indexed], 1)
    return indexed, sizes, indices, w.choose(["clip", "fill"])


def _gathered(w: Writer) -> Any:
    x = w.pick(ndim=1, elements=1, room=6)
    indexed, sizes, indices, mode = _windows(w, x)
    collapsed = tuple(i for i in indexed if sizes[i] == 1)
    offset = tuple(range(1, 1 + x.ndim - len(collapsed)))
    numbers = lax.GatherDimensionNumbers(offset, collapsed, indexed)
    return lax.gather(x, indices, numbers, sizes, mode=mode)


def _scattered(w: Writer) -> Any:
    x = w.pick(ndim=1, elements=1)
    indexed, sizes, indices, mode = _windows(w, x)
    inserted = tuple(i for i in indexed if sizes[i] == 1)
    window = tuple(n for i, n in enumerate(sizes) if i not in inserted)
    numbers = lax.ScatterDimensionNumbers(tuple(range(1, 1 + len(window))), inserted, indexed)
    updates = w.like(w.choose(w.values), (indices.shape[0], *window), x.dtype)
    kind = dtypes.kind(x.dtype)
    functions = [lax.scatter]
    if kind in "iuf":
        functions += [lax.scatter_max, lax.scatter_min]
    if kind in "iu" or (kind in "fc" and not w.exact):
        functions += [lax.scatter_add, lax.scatter_add, lax.scatter_mul]
    return w.choose(functions)(x, indices, updates, numbers, mode=mode)


# --- products and windows -----------------------------------------------------------------------


def _product(w: Writer) -> Any:
    """A `dot_general` that contracts and batches some axes of equal extent."""
    x = w.pick("iu" if w.exact else "biufc", ndim=1)
    y = w.pick(ndim=1)
    y = w.like(y, y.shape, x.dtype)
    free = list(range(y.ndim))
    pairs = []
    for i in (int(i) for i in w.rng.permutation(x.ndim)):
        j = next((j for j in free if y.shape[j] == x.shape[i]), None)
        if j is not None and w.chance(0.8):
            free.remove(j)
            pairs.append((i, j))
    count = w.integer(0, len(pairs))
    contract, batch = pairs[:count], pairs[count:]
    shape = [x.shape[i] for i, _ in batch]
    shape += [n for i, n in enumerate(x.shape) if all(i != a for a, _ in pairs)]
    shape += [y.shape[j] for j in free]
    if prod(shape) > w.limit or len(shape) > 5:
        return None
    numbers = [(tuple(i for i, _ in axes), tuple(j for _, j in axes)) for axes in (contract, batch)]
    return lax.dot_general(x, y, (numbers[0], numbers[1]))


def _convolution(w: Writer) -> Any:
    x = w.pick("f", elements=1)
    dims = w.integer(1, 2)
    channels, features, batch = w.integer(1, 3), w.integer(1, 4), w.integer(1, 2)
    groups = w.choose([1, 1, 1, 2])
    spatial = tuple(w.integer(2, 7) for _ in range(dims))
    window = tuple(w.integer(1, 3) for _ in range(dims))
    image = w.like(x, (batch, channels * groups, *spatial), x.dtype)
    kernel = w.like(w.choose(w.values), (features * groups, channels, *window), x.dtype)
    letters = "HW"[:dims]
    numbers = w.choose(
        [
            ("NC" + letters, "OI" + letters, "NC" + letters),
            ("N" + letters + "C", letters + "IO", "N" + letters + "C"),
        ]
    )
    image, kernel = (
        lax.transpose(v, [names.index(c) for c in layout])
        for v, names, layout in zip(
            (image, kernel), ("NC" + letters, "OI" + letters), numbers, strict=False
        )
    )
    return lax.conv_general_dilated(
        image,
        kernel,
        [w.choose([1, 1, 2]) for _ in range(dims)],
        [(w.integer(0, 2), w.integer(0, 2)) for _ in range(dims)],
        lhs_dilation=[w.choose([1, 1, 2]) for _ in range(dims)],
        rhs_dilation=[w.choose([1, 1, 2]) for _ in range(dims)],
        dimension_numbers=numbers,
        feature_group_count=groups,
    )


def _pooled(w: Writer) -> Any:
    x = w.pick("if", ndim=1, elements=1)
    if x.ndim > 4:
        return None
    choices = [(lax.max, -np.inf if dtypes.kind(x.dtype) == "f" else np.iinfo(x.dtype).min)]
    if dtypes.kind(x.dtype) == "i" or not w.exact:
        choices.append((lax.add, 0))
    function, start = w.choose(choices)
    window = [w.integer(1, min(3, n)) for n in x.shape]
    strides = [w.choose([1, 1, 2]) for _ in x.shape]
    padding = w.choose(["SAME", "VALID"])
    return lax.reduce_window(x, x.dtype.type(start), function, window, strides, padding)


# --- tables -------------------------------------------------------------------------------------

# Each with how often it is chosen.
EXACT: Sequence[tuple[Operation, float]] = [
    *((_unary, 5), (_binary, 14), (_select, 2), (_clamp, 1), (_convert, 2), (_bitcast, 0.5)),
    *((_complex_of, 0.4), (_transposed, 1), (_reshaped, 1.5), (_broadcast, 1), (_sliced, 1)),
    *((_reversed, 0.6), (_padded, 0.8), (_joined, 0.8), (_split, 0.4), (_counted, 0.4)),
    *((_reduced, 3), (_centred, 2), (_position, 0.7), (_cumulated, 0.5), (_sorted, 0.4)),
    *((_dynamic_sliced, 0.5), (_dynamic_updated, 0.5), (_gathered, 0.5), (_scattered, 0.5)),
    *((_product, 0.4), (_pooled, 0.3)),
]
INEXACT: Sequence[tuple[Operation, float]] = [
    *EXACT,
    *((_smooth, 5), (_smooth_on_interval, 1.5), (_smooth_binary, 1.5), (_summed, 3)),
    *((_product, 1), (_convolution, 0.4)),
]
