"""Linear algebra of small matrices as straight code: elimination and substitution, written out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from funcflow.backends.loop_ir import Value
from funcflow.backends.straight.arrays import Elements, NotStraight, Rule, Writer, filled
from funcflow.backends.straight.moves import converted
from funcflow.core.jaxpr import JaxprEqn
from funcflow.lax.matrices import lapack_dtype
from funcflow.lax.pivots import INDEX

_Array: TypeAlias = np.ndarray[Any, Any]  # of values


def _wide(code: Writer, x: Elements, dims: int = 2, free: int | None = None) -> _Array:
    """A copy of the elements in a dtype to compute in.

    The lanes may run along the stack of matrices, or along a dimension that is `free`.
    """
    if x.lanes is not None and x.values.ndim - dims <= x.lanes != free:
        raise NotStraight("the lanes run through matrices")
    return _all_converted(code, x.values, lapack_dtype(x.values.reshape(-1)[0].dtype))


def _all_converted(code: Writer, values: Any, dtype: np.dtype[Any]) -> _Array:
    return filled(values.shape, lambda place: converted(code, values[place], dtype))


def _narrow(code: Writer, values: _Array, eqn: JaxprEqn, like: Elements) -> Elements:
    """A result in its dtype, with the lanes of an operand."""
    return Elements(_all_converted(code, values, np.dtype(eqn.outvars[0].aval.dtype)), like.lanes)


def _check_lanes(*args: Elements) -> None:
    """All that have lanes must have them in one place."""
    if len({x.lanes for x in args} - {None}) > 1:
        raise NotStraight("matrices and right-hand sides have their lanes in different places")


def _stack(values: _Array, dims: int = 2) -> Iterator[tuple[int, ...]]:
    return np.ndindex(*values.shape[: values.ndim - dims])


def _less(code: Writer, x: Any, factors: Iterable[Any], others: Iterable[Any]) -> Any:
    """`x` less the sum of products."""
    for a, b in zip(factors, others, strict=True):
        x = code.let("sub", x, code.let("mul", a, b))
    return x


def _exchange(code: Writer, rows: _Array, i: int, which: Value) -> None:
    """Exchange row i with the one below it that has this number, if there is one."""
    rows = rows.reshape(len(rows), -1)
    top = rows[i].copy()
    for r in range(i + 1, len(rows)):
        here = code.let("eq", which, code.number(INDEX.type(r)))
        for c in range(rows.shape[1]):
            x, new = rows[r, c], rows[i, c]
            rows[i, c] = code.let("select", here, x, new)
            rows[r, c] = code.let("select", here, top[c], x)


def _largest(code: Writer, column: Sequence[Any], first: int) -> Value:
    """The number of the first element of the largest magnitude, or of the first NaN."""
    best, which = code.let("abs", column[0]), code.number(INDEX.type(first))
    for r, x in enumerate(column[1:], first + 1):
        size = code.let("abs", x)
        fresh = code.let("and", code.let("ne", size, size), code.let("eq", best, best))
        better = code.let("or", code.let("gt", size, best), fresh)
        best = code.let("select", better, size, best)
        which = code.let("select", better, code.number(INDEX.type(r)), which)
    return which


def _lu(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    """Elimination with the largest pivot of each column."""
    (x,) = args
    a = _wide(code, x)
    m, n = a.shape[-2:]
    pivots = np.empty((*a.shape[:-2], min(m, n)), object)
    permutation = np.empty(a.shape[:-1], object)
    for s in _stack(a):
        rows, order = a[s], permutation[s]
        order[:] = [code.number(INDEX.type(r)) for r in range(m)]
        for i in range(min(m, n)):
            which = pivots[s][i] = _largest(code, rows[i:, i], i)
            _exchange(code, rows, i, which)
            _exchange(code, order, i, which)
            zero = code.let("eq", rows[i, i], code.number(np.zeros((), rows[i, i].dtype)))
            one = code.number(np.ones((), rows[i, i].dtype))
            pivot = code.let("select", zero, one, rows[i, i])  # a column of zeros stays
            for r in range(i + 1, m):
                rows[r, i] = code.let("div", rows[r, i], pivot)
                for c in range(i + 1, n):
                    rows[r, c] = _less(code, rows[r, c], [rows[r, i]], [rows[i, c]])
    return [_narrow(code, a, eqn, x), *(Elements(v, x.lanes) for v in (pivots, permutation))]


def _permutation(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    (x,) = args
    pivots = _wide(code, x, 1)
    size = eqn.params["permutation_size"]
    out = np.empty((*pivots.shape[:-1], size), object)
    for s in _stack(pivots, 1):
        out[s][:] = [code.number(INDEX.type(r)) for r in range(size)]
        for i, which in enumerate(pivots[s]):
            _exchange(code, out[s], i, which)
    return [Elements(out, x.lanes)]


def _substitute(code: Writer, a: _Array, b: _Array, *, lower: bool, unit: bool) -> None:
    """Replace the rows of `b` by the solution of `a x = b`."""
    n = len(a)
    for i in range(n) if lower else reversed(range(n)):
        known = slice(0, i) if lower else slice(i + 1, n)
        for c in range(b.shape[1]):
            x = _less(code, b[i, c], a[i, known], b[known, c])
            b[i, c] = x if unit else code.let("div", x, a[i, i])


def _triangular_solve(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    params, (matrix, side) = eqn.params, args
    _check_lanes(matrix, side)
    free = side.values.ndim - (1 if params["left_side"] else 2)
    a, b = _wide(code, matrix), _wide(code, side, free=free)
    lower, turned = params["lower"], params["transpose_a"] != (not params["left_side"])
    for s in _stack(b):
        rows = b[s] if params["left_side"] else b[s].T
        factor = a[s].T if turned else a[s]
        _substitute(code, factor, rows, lower=lower != turned, unit=params["unit_diagonal"])
    return [_narrow(code, b, eqn, side if side.lanes is not None else matrix)]


def _factored_solve(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    """With a[p] = l u: solve l u x = b[p], or u.T l.T x[p] = b."""
    _, factors, permutation, side = args
    _check_lanes(*args)
    a, b = _wide(code, factors), _wide(code, side, free=side.values.ndim - 1)
    transpose = eqn.params["transpose"]
    for s in _stack(b):
        order = permutation.values[s]
        numbers = [code.number(INDEX.type(r)) for r in range(len(order))]
        if not transpose:
            b[s] = _taken(code, b[s], lambda r, q, o=order, n=numbers: (o[r], n[q]))
        for lower in (not transpose, transpose):
            factor = a[s].T if transpose else a[s]
            _substitute(code, factor, b[s], lower=lower != transpose, unit=lower)
        if transpose:
            b[s] = _taken(code, b[s], lambda r, q, o=order, n=numbers: (o[q], n[r]))
    lanes = next((x for x in args if x.lanes is not None), side)
    return [_narrow(code, b, eqn, lanes)]


def _taken(code: Writer, rows: _Array, alike: Callable[[int, int], tuple[Any, Any]]) -> _Array:
    """As row r that row q for which two numbers are equal."""
    out = np.empty(rows.shape, object)
    for r in range(len(rows)):
        out[r] = rows[0]
        for q in range(1, len(rows)):
            here = code.let("eq", *alike(r, q))
            for c in range(rows.shape[1]):
                out[r, c] = code.let("select", here, rows[q, c], out[r, c])
    return out


def _cholesky(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    """Row by row; NaN where some pivot is not positive."""
    (x,) = args
    a = _wide(code, x)
    n = a.shape[-1]
    dtype = a.reshape(-1)[0].dtype
    zero, nan = (code.number(dtype.type(v)) for v in (0, np.nan))
    out = np.full(a.shape, zero, object)
    for s in _stack(a):
        rows, factor, good = a[s], out[s], []
        for i in range(n):
            for j in range(i):
                rest = _less(code, rows[i, j], factor[i, :j], factor[j, :j])
                factor[i, j] = code.let("div", rest, factor[j, j])
            pivot = _less(code, rows[i, i], factor[i, :i], factor[i, :i])
            good.append(code.let("gt", pivot, zero))
            factor[i, i] = code.let("sqrt", pivot)
        positive = good[0]
        for other in good[1:]:
            positive = code.let("and", positive, other)
        for i, j in zip(*np.tril_indices(n), strict=True):
            factor[i, j] = code.let("select", positive, factor[i, j], nan)
    return [_narrow(code, out, eqn, x)]


MATRICES: Mapping[str, Rule] = {
    "lu": _lu,
    "lu_pivots_to_permutation": _permutation,
    "triangular_solve": _triangular_solve,
    "factored_solve": _factored_solve,
    "cholesky": _cholesky,
}
