"""Monte Carlo arithmetic: how far rounding may carry the results of a program.

A program is evaluated with the results of all operations that round differently in different
implementations moved by a few units in the last place, at random. Where results vary from one
evaluation to the next, two correct implementations may differ by as much; where they don't, they
may not. (D. S. Parker, "Monte Carlo Arithmetic", UCLA CSD-970002, 1997.)
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import ml_dtypes
import numpy as np

from funcflow.core import dtypes, rules
from funcflow.core.array import as_buffer
from funcflow.core.interpret import bodies
from funcflow.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, subjaxprs
from funcflow.core.trace import EVAL, under

# How far a result is moved, in units in its last place.
_ULPS = 4

# Sums and products: what is added or multiplied is moved, too, as partial results are rounded.
_ACCUMULATING = {
    *("reduce_sum", "reduce_prod", "cumsum", "cumprod", "cumlogsumexp", "dot_general"),
    *("conv_general_dilated", "reduce_window_sum", "reduce_window", "scatter_add", "scatter_mul"),
    *("select_and_scatter_add", "reduce"),
}
_TRANSCENDENTAL = {
    *("exp", "exp2", "expm1", "log", "log1p", "tanh", "sin", "cos", "tan", "sinh", "cosh"),
    *("asin", "acos", "atan", "asinh", "acosh", "atanh", "atan2", "logistic", "erf", "erfc"),
    *("erf_inv", "lgamma", "digamma", "polygamma", "pow", "cbrt", "rsqrt", "integer_pow"),
}
# They are close to zero where their arguments are not: there only absolute errors are small.
_ROOTED = {"lgamma", "digamma"}
# Of complex numbers also these are rounded in more ways than one.
_COMPLEX = {"mul", "div", "abs", "sqrt", "square", "sign", "reciprocal"}


# Which zero a reduction finds among zeros of both signs depends on where it begins.
_EXTREMA = {"reduce_max", "reduce_min"}


class Freedom(IntEnum):
    """In what the results of implementations of an operation may differ."""

    NONE = 0
    SIGN_OF_ZERO = 1
    ROUNDING = 2


def freedom(eqn: JaxprEqn) -> Freedom:
    """In what implementations of an operation, or of those in it, may differ."""
    name, inexact = (
        eqn.primitive.name,
        [any(dtypes.is_inexact(v.aval.dtype) for v in side) for side in (eqn.invars, eqn.outvars)],
    )
    if name in _TRANSCENDENTAL or name in _ACCUMULATING:
        return Freedom.ROUNDING if all(inexact) else Freedom.NONE
    if name in _COMPLEX and any(v.aval.dtype.kind == "c" for v in eqn.invars):
        return Freedom.ROUNDING
    if name in _EXTREMA:
        return Freedom.SIGN_OF_ZERO if all(inexact) else Freedom.NONE
    inner = (freedom(e) for jaxpr in subjaxprs(eqn) for e in jaxpr.eqns)
    return max(inner, default=Freedom.NONE)


class Perturbed:
    """Evaluates jaxprs on buffers, with moved results.

    Args:
        rng: chooses how far each result is moved.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, closed: ClosedJaxpr, arguments: Sequence[Any]) -> list[Any]:
        """The outputs."""
        token = bodies.set(lambda inner: lambda *args: self._run(inner, args))
        try:
            with np.errstate(all="ignore"):
                return under(EVAL, self._run, closed, arguments)
        finally:
            bodies.reset(token)

    def _run(self, closed: ClosedJaxpr, arguments: Sequence[Any]) -> list[Any]:
        jaxpr = closed.jaxpr
        consts = [as_buffer(c) for c in closed.consts]
        env: dict[Var, Any] = dict(
            zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arguments), strict=True)
        )
        for eqn in jaxpr.eqns:
            args = [v.val if isinstance(v, Literal) else env[v] for v in eqn.invars]
            env.update(zip(eqn.outvars, self._apply(eqn, args), strict=True))
        return [np.asarray(v.val if isinstance(v, Literal) else env[v]) for v in jaxpr.outvars]

    def _apply(self, eqn: JaxprEqn, args: list[Any]) -> Sequence[Any]:
        free = Freedom.NONE if subjaxprs(eqn) else freedom(eqn)
        name = eqn.primitive.name
        if free == Freedom.ROUNDING and name in _ACCUMULATING:
            args = self._reordered(eqn, args)
        if name in _ROOTED:
            args = [self._moved(x) for x in args]
        out = rules.impl[eqn.primitive](np, *args, **eqn.params)
        results = out if eqn.primitive.multiple_results else [out]
        if free == Freedom.SIGN_OF_ZERO:
            return [self._signed(x) for x in results]
        if name == "conv_general_dilated" and not all(np.isfinite(x).all() for x in args):
            # whether the zeros of padding and dilation meet infinities is left open
            results = [np.full_like(x, self._rng.choice([0.0, np.nan])) for x in results]
        return [self._moved(x) for x in results] if free else results

    def _reordered(self, eqn: JaxprEqn, args: Sequence[Any]) -> list[Any]:
        """What is accumulated, moved by more where it is many elements, and in another order."""
        size = max((v.aval.size for v in eqn.outvars), default=1)
        count = max(v.aval.size for v in eqn.invars) / max(size, 1)
        moved = [self._moved(x, _ULPS * max(1.0, count / 16)) for x in args]
        if eqn.primitive.name in ("reduce_sum", "reduce_prod"):
            for axis in eqn.params["axes"]:
                moved[0] = self._rng.permutation(moved[0], axis)
        return moved

    def _signed(self, x: Any) -> Any:
        """Values with zeros of either sign."""
        x = np.asarray(x)
        return np.where((x == 0) & (self._steps(x.shape) > 0), -x, x)

    def _moved(self, x: Any, ulps: float = _ULPS) -> Any:
        """Values some units in the last place away; zeros and what is not finite stay."""
        x = np.asarray(x)
        if not dtypes.is_inexact(x.dtype):
            return x
        if x.dtype.kind == "c":
            moved = x.copy()
            step = spacing(np.maximum(np.abs(x.real), np.abs(x.imag)))
            moved.real += (ulps * self._steps(x.shape) * step).astype(step.dtype)
            moved.imag += (ulps * self._steps(x.shape) * step).astype(step.dtype)
            return np.where(np.isfinite(x) & (x != 0), moved, x)
        wide = x.astype(np.float64)
        moved = (wide + ulps * self._steps(x.shape) * spacing(x)).astype(x.dtype)
        return np.where(np.isfinite(wide) & (wide != 0), moved, x)

    def _steps(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        return self._rng.uniform(-1, 1, shape)


def spacing(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One unit in the last place of each value, in double precision."""
    limits = ml_dtypes.finfo(x.dtype)
    size = np.abs(x.astype(np.float64))
    _, exponent = np.frexp(np.where(np.isfinite(size), size, 1.0))
    unit = np.ldexp(1.0, exponent - 1) * float(limits.eps)
    least = float(limits.smallest_subnormal)
    return np.where(size == 0, least, np.maximum(unit, least))


def freedoms(jaxpr: Jaxpr) -> list[Freedom]:
    """Of each output, what the operations before it leave open."""
    found: dict[Atom, Freedom] = {}
    for eqn in jaxpr.eqns:
        before = (found[v] for v in eqn.invars if isinstance(v, Var) and v in found)
        found.update(dict.fromkeys(eqn.outvars, max(freedom(eqn), *before, Freedom.NONE)))
    return [found.get(v, Freedom.NONE) for v in jaxpr.outvars]
