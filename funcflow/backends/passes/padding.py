"""Sums of padded arrays that do not overlap: concatenations.

The transpose of taking an array apart (`q, k, v = qkv`, or two halves that are rotated) pads each
part with zeros and adds up: it writes and reads all of the result as often as there are parts.
"""

from typing import NamedTuple

import numpy as np

from funcflow.backends.passes.rewriter import Rewriter, Rewritten
from funcflow.core import dtypes
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import Atom, JaxprEqn, Literal
from funcflow.lax.forms import add_p
from funcflow.lax.joining import concatenate_p
from funcflow.lax.slicing import pad_p


class _Padded(NamedTuple):
    """An array with zeros before and after it along one axis."""

    array: Atom
    axis: int
    start: int
    stop: int


def joined_padding(rewriter: Rewriter, eqn: JaxprEqn) -> Rewritten:
    """`pad(x) + pad(y)`, with x and y neighbours along one axis, as a padded concatenation.

    Each element is added to 0.0, which changes -0.0 only: so 0.0 is added before, where that has
    not been done. Where x and y lie at the same place, the result is their padded sum.
    """
    (x, y), aval = map(rewriter.maker, eqn.invars, (pad_p, pad_p)), eqn.outvars[0].aval
    if x is None or y is None or x.outvars[0].aval.shape != y.outvars[0].aval.shape:
        return None
    first, second = _padded(x), _padded(y)
    if first is None or second is None or first.axis != second.axis:
        return None
    if (first.start, first.stop) == (second.start, second.stop):
        part = x.invars[0].aval.update(weak_type=aval.weak_type)
        summed = rewriter.emit(add_p, [x.invars[0], y.invars[0]], {}, part, eqn)
        return x.replace(invars=[summed, x.invars[1]], outvars=eqn.outvars)
    if first.start > second.start:
        first, second = second, first
    if first.stop != second.start:
        return None
    axis, extent = first.axis, aval.shape[first.axis]
    parts = [part for p in (first, second) for part in _parts(rewriter, p, eqn)]
    params = {"dimension": axis}
    if (first.start, second.stop) == (0, extent):
        return eqn.replace(primitive=concatenate_p, invars=parts, params=params)
    shape = (*aval.shape[:axis], second.stop - first.start, *aval.shape[axis + 1 :])
    joined = rewriter.emit(
        concatenate_p, parts, params, ShapedArray(shape, aval.dtype, aval.weak_type), eqn
    )
    config = tuple(
        (first.start, extent - second.stop, 0) if i == axis else (0, 0, 0) for i in range(aval.ndim)
    )
    zero = x.invars[1]
    return eqn.replace(primitive=pad_p, invars=[joined, zero], params={"padding_config": config})


def _padded(eqn: JaxprEqn) -> _Padded | None:
    """What a padding is, if it only puts positive zeros around an array, along one axis."""
    array, value = eqn.invars
    config = eqn.params["padding_config"]
    if not isinstance(value, Literal) or value.val.tobytes().strip(b"\0"):
        return None
    axes = [i for i, c in enumerate(config) if c != (0, 0, 0)]
    if len(axes) != 1 or dtypes.is_complex(array.aval.dtype):
        return None
    low, high, interior = config[axes[0]]
    if low < 0 or high < 0 or interior:
        return None
    return _Padded(array, axes[0], low, low + array.aval.shape[axes[0]])


def _parts(rewriter: Rewriter, padded: _Padded, eqn: JaxprEqn) -> list[Atom]:
    """The arrays that are joined, none with a -0.0."""
    joined = rewriter.maker(padded.array, concatenate_p)
    if joined is not None and joined.params["dimension"] == padded.axis:
        arrays = joined.invars
    else:
        arrays = [padded.array]
    return [with_zero_added(rewriter, v, eqn) for v in arrays]


def with_zero_added(rewriter: Rewriter, v: Atom, eqn: JaxprEqn) -> Atom:
    """A value plus 0, which makes 0.0 of -0.0; the value itself where that is no change."""
    if not dtypes.is_inexact(v.aval.dtype):
        return v
    made = rewriter.maker(v, add_p)
    if made is not None and _is_zero(made.invars[1]):
        return v
    zero = Literal(np.zeros((), v.aval.dtype), ShapedArray((), v.aval.dtype, v.aval.weak_type))
    return rewriter.emit(add_p, [v, zero], {}, v.aval, eqn)


def _is_zero(v: Atom) -> bool:
    return isinstance(v, Literal) and not v.val.tobytes().strip(b"\0")
