"""Which lanes of a cotangent are zero because `select_n` made them so.

`where(x > 0, x * log(x), 0)` has a finite gradient at 0: the branch that is not taken has no share
in the result. But on its way back the cotangent 0 of that branch is multiplied with the
branch's derivative, and 0 * inf is NaN. So the backward pass keeps a mask beside the cotangent:
the lanes in which the branch was taken. Where a masked cotangent meets a factor or divisor, that is
replaced by 1 in the other lanes, so what is zero by selection stays zero.

A cotangent that is zero for another reason (1 / inf, say) is not touched: if it meets an infinity,
the NaN stays to be seen.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import Zero, is_undefined
from funcflow.core.jaxpr import Atom, JaxprEqn
from funcflow.lax.arithmetic import div_p, mul_p
from funcflow.lax.bitwise import bitwise_and, bitwise_not, bitwise_or
from funcflow.lax.comparison import eq, select_n, select_n_p
from funcflow.lax.forms import ELEMENTWISE
from funcflow.lax.shape import (
    broadcast_in_dim,
    broadcast_to,
    reduce_sum_p,
    reshape,
    reshape_p,
    transpose,
    transpose_p,
    zeros,
)


class Mask:
    """A boolean array, true in the lanes that count; computed when it is first needed."""

    __slots__ = ("_compute", "_value", "shape")

    def __init__(self, shape: tuple[int, ...], compute: Callable[[], Any]) -> None:
        self.shape = shape
        self._compute = compute
        self._value: Any = None

    def array(self) -> Any:
        """The mask's values."""
        if self._value is None:
            self._value = self._compute()
        return self._value

    def with_values(self, array: Any) -> "Mask":
        """The mask with values that are there already."""
        return Mask(self.shape, lambda: array)

    def with_shape(
        self, shape: tuple[int, ...], move: Callable[[Any, tuple[int, ...]], Any]
    ) -> "Mask":
        """The mask after a rearrangement; one lane for all needs none."""
        return Mask(shape, lambda: move(self.array(), shape)) if self.shape else self


def taken(which: Any, case: int, shape: tuple[int, ...]) -> Mask:
    """The lanes in which `select_n(which, ...)`, of the given shape, takes a case."""

    def compute() -> Any:
        if aval_of(which).dtype != np.dtype(bool):
            return eq(which, np.asarray(case, aval_of(which).dtype))
        return which if case else bitwise_not(which)

    if not shape_of(which):
        return Mask((), compute)
    return Mask(shape, lambda: broadcast_to(compute(), shape))


def both(a: Mask | None, b: Mask) -> Mask:
    """The lanes that count in both."""
    if a is None:
        return b
    return Mask(a.shape or b.shape, lambda: bitwise_and(a.array(), b.array()))


def either(a: Mask | None, b: Mask | None) -> Mask | None:
    """The lanes that count in one or the other: those of a sum."""
    if a is b:
        return a
    if a is None or b is None or a.shape != b.shape:
        return None
    return Mask(a.shape, lambda: bitwise_or(a.array(), b.array()))


def common(masks: Sequence[Mask | None]) -> Mask | None:
    """The mask that several cotangents share, if they do."""
    return masks[0] if all(mask is masks[0] for mask in masks) else None


def _if_it_fits(mask: Mask, v: Atom) -> Mask | None:
    """The mask, unless the operation has broadcast the input."""
    return mask if mask.shape in ((), v.aval.shape) else None


def masks_of_inputs(eqn: JaxprEqn, ins: Sequence[Any], mask: Mask | None) -> list[Mask | None]:
    """The masks of the input cotangents, from that of the output's."""
    primitive = eqn.primitive
    if primitive is select_n_p and not is_undefined(ins[0]):
        shape = eqn.outvars[0].aval.shape
        masks = [both(mask, taken(ins[0], i, shape)) for i in range(len(ins) - 1)]
        return [None, *map(_if_it_fits, masks, eqn.invars[1:])]
    if mask is None:
        return [None] * len(ins)
    if not mask.shape or primitive in ELEMENTWISE:
        return [_if_it_fits(mask, v) for v in eqn.invars]
    shapes = [v.aval.shape for v in eqn.invars]
    if primitive is reshape_p:
        return [mask.with_shape(shapes[0], reshape)]
    if primitive is transpose_p:
        back = tuple(int(i) for i in np.argsort(eqn.params["permutation"]))
        return [mask.with_shape(shapes[0], lambda m, _: transpose(m, back))]
    if primitive is reduce_sum_p:
        kept = [i for i in range(len(shapes[0])) if i not in eqn.params["axes"]]
        return [mask.with_shape(shapes[0], lambda m, shape: broadcast_in_dim(m, shape, kept))]
    return [None] * len(ins)


def harmless_factors(eqn: JaxprEqn, ins: list[Any], mask: Mask | None) -> list[Any]:
    """The inputs, with factors and divisors replaced by 1 in the lanes that do not count."""
    if mask is None or eqn.primitive not in (mul_p, div_p):
        return ins
    return [x if is_undefined(x) else _one_elsewhere(x, mask.array()) for x in ins]


def _one_elsewhere(x: Any, mask: Any) -> Any:
    shape = shape_of(mask) if ndim_of(mask) else shape_of(x)
    one = np.ones((), aval_of(x).dtype)
    return select_n(mask, broadcast_to(one, shape), broadcast_to(x, shape))


def cleared(ct: Any, mask: Mask | None) -> Any:
    """A cotangent of a whole block, zero if the block does not count at all."""
    if mask is None or mask.shape or ct is None or type(ct) is Zero:
        return ct
    return select_n(mask.array(), zeros(aval_of(ct)), ct)
