"""How far to go in a direction: a line search for the strong Wolfe conditions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.core.pytree import tree_leaves
from funcflow.core.typing import PyTree
from funcflow.optim.base import GradientTransformationExtraArgs
from funcflow.optim.leaves import first_count, memory_like, require_params
from funcflow.optim.vectors import add_scaled, chosen, inner_product, real_dtype, times
from funcflow.transforms.grad import value_and_grad


class _Point(NamedTuple):
    """A place on the line: how far it is, the value there, and the slope."""

    step: Array
    value: Array
    slope: Array


class _Search(NamedTuple):
    """A search on its way.

    Attributes:
        low: the best point that is no longer than the sufficient decrease allows.
        high: an end of an interval from `low` that holds what is looked for; infinitely far away
            until there is one.
        trial: where to look next.
        gradient: of the function at `low`.
        done: whether `low` is what is looked for.
        count: the number of points looked at.
    """

    low: _Point
    high: _Point
    trial: Array
    gradient: PyTree
    done: Array
    count: Array


class ZoomLinesearchInfo(NamedTuple):
    """How a search went: the points looked at, and whether the last one fulfils the conditions."""

    num_linesearch_steps: Array
    succeeded: Array


class ScaleByZoomLinesearchState(NamedTuple):
    """What the line search found.

    Attributes:
        learning_rate: the step.
        value: the function after it; infinite before the first one.
        grad: the gradient after it.
        info: how the search went.
    """

    learning_rate: Array
    value: Array
    grad: PyTree
    info: ZoomLinesearchInfo


def scale_by_zoom_linesearch(
    max_linesearch_steps: int,
    max_learning_rate: float | None = None,
    increase_factor: float = 2.0,
    slope_rtol: float = 1e-4,
    curv_rtol: float = 0.9,
    approx_dec_rtol: float = 1e-6,
    stepsize_precision: float = 1e-5,
    initial_guess_strategy: str = "keep",
) -> GradientTransformationExtraArgs:
    """Scale an update so that the value falls enough and the slope gets flat enough.

    J. Nocedal and S. J. Wright, "Numerical Optimization" (2006), algorithms 3.5 and 3.6. Where
    rounding hides how much the value falls, the slopes decide: W. W. Hager and H. Zhang, "A new
    conjugate gradient method with guaranteed descent and an efficient line search" (2005).

    `update` needs the parameters and the keywords `value`, `grad` and `value_fn`; `value_fn` maps
    parameters to a number. If no step is found, the best one with enough decrease is taken; that
    may be none, as it is if the update does not lead downhill.

    Args:
        max_linesearch_steps: how many points to look at.
        max_learning_rate: the longest step; None for any.
        increase_factor: by which steps grow as long as the value falls.
        slope_rtol: the value must fall by this part of what the slope promises.
        curv_rtol: the slope must shrink to this part of what it is.
        approx_dec_rtol: relative to the value, what counts as rounding.
        stepsize_precision: the search ends when it knows the step as exactly, relative to itself.
        initial_guess_strategy: where to look first: `"one"`, or `"keep"` for the last step.

    Raises:
        ArgumentError: another strategy; `update` is called without what it needs.
    """
    if initial_guess_strategy not in ("keep", "one"):
        raise ArgumentError(
            f"scale_by_zoom_linesearch: unknown initial_guess_strategy {initial_guess_strategy!r}",
            mend="use 'keep' or 'one'",
        )
    longest = fnp.inf if max_learning_rate is None else max_learning_rate

    def init(params: PyTree) -> ScaleByZoomLinesearchState:
        dtype = real_dtype(params)
        return ScaleByZoomLinesearchState(
            learning_rate=fnp.ones((), dtype),
            value=fnp.full((), fnp.inf, dtype),
            grad=memory_like("scale_by_zoom_linesearch", params),
            info=ZoomLinesearchInfo(first_count(), fnp.ones((), "bool")),
        )

    def fulfilled(start: _Point, point: _Point) -> tuple[Array, Array]:
        """Whether the value has fallen enough, and the slope is flat enough."""
        falls = point.value <= start.value + slope_rtol * point.step * start.slope
        nearly = point.value <= start.value + approx_dec_rtol * fnp.abs(start.value)
        flattens = point.slope <= (2 * slope_rtol - 1) * start.slope
        return falls | (nearly & flattens), fnp.abs(point.slope) <= curv_rtol * -start.slope

    def narrowed(search: _Search, start: _Point, point: _Point, gradient: PyTree) -> _Search:
        """The search after a look at one more point."""
        enough, flat = fulfilled(start, point)
        done = enough & flat
        better = done | (enough & (point.value < search.low.value))
        # Beyond a better point, what is looked for is on the side to which the value falls.
        turned = better & (point.slope * (search.high.step - search.low.step) >= 0)
        low = _Point(*(fnp.where(better, a, b) for a, b in zip(point, search.low, strict=True)))
        high = chosen(better, chosen(turned, search.low, search.high), point)
        at_end = better & (point.step >= longest)
        return _Search(
            low=low,
            high=high,
            trial=fnp.minimum(_next_step(low, high, increase_factor), longest),
            gradient=chosen(better, gradient, search.gradient),
            done=done | at_end,
            count=search.count + 1,
        )

    def goes_on(search: _Search) -> Array:
        width = fnp.abs(search.high.step - search.low.step)
        wide = width > stepsize_precision * search.low.step
        return ~search.done & (search.count < max_linesearch_steps) & wide

    def update(
        updates: PyTree,
        state: ScaleByZoomLinesearchState,
        params: PyTree = None,
        *,
        value: Any = None,
        grad: PyTree = None,
        value_fn: Callable[[PyTree], Any] | None = None,
        **extra_args: Any,
    ) -> tuple[PyTree, ScaleByZoomLinesearchState]:
        require_params("scale_by_zoom_linesearch", updates, params)
        if value is None or grad is None or value_fn is None:
            raise ArgumentError(
                "scale_by_zoom_linesearch: update needs the keywords value, grad and value_fn",
                mend="call update(grad, state, params, value=value, grad=grad, value_fn=f)",
            )
        dtype = state.value.dtype

        def look(step: Array) -> tuple[_Point, PyTree]:
            there, gradient = value_and_grad(value_fn)(add_scaled(params, step, updates))
            slope = inner_product(gradient, updates)
            return _Point(step, there.astype(dtype), slope.astype(dtype)), gradient

        def body(search: _Search) -> _Search:
            return narrowed(search, start, *look(search.trial))

        zero = fnp.zeros((), dtype)
        slope = inner_product(grad, updates).astype(dtype)
        start = _Point(zero, fnp.asarray(value).astype(dtype), slope)
        first = fnp.ones((), dtype)
        if initial_guess_strategy == "keep":
            first = fnp.where(state.learning_rate > 0, state.learning_rate, first)
        search = _Search(
            low=start,
            high=_Point(fnp.full((), fnp.inf, dtype), zero, zero),
            trial=fnp.minimum(first, longest),
            gradient=chosen(True, grad, state.grad),
            done=~(slope < 0),
            count=first_count(),
        )
        found = lax.while_loop(goes_on, body, search)
        info = ZoomLinesearchInfo(found.count, found.done)
        step = found.low.step
        return times(step, updates), ScaleByZoomLinesearchState(
            step, found.low.value, found.gradient, info
        )

    return GradientTransformationExtraArgs(init, update)


def _next_step(low: _Point, high: _Point, increase_factor: float) -> Array:
    """Further away if there is no interval yet; else the minimum of a cubic, kept off the ends."""
    bounded = fnp.isfinite(high.step)
    width = fnp.where(bounded, high.step - low.step, 1)
    middle = low.step + 0.5 * width
    secant = 3 * (high.value - low.value) / width
    d1 = low.slope + high.slope - secant
    d2 = fnp.sign(width) * fnp.sqrt(fnp.maximum(d1 * d1 - low.slope * high.slope, 0))
    bottom = high.slope - low.slope + 2 * d2
    cubic = high.step - width * (high.slope + d2 - d1) / fnp.where(bottom == 0, 1, bottom)
    part = (cubic - low.step) / width
    inside = (part > 0.1) & (part < 0.9) & (bottom != 0)  # not where anything is NaN
    within = fnp.where(inside, cubic, middle)
    return fnp.where(bounded, within, increase_factor * fnp.maximum(low.step, 1e-10))


def value_and_grad_from_state(value_fn: Callable[[PyTree], Any]) -> Callable[..., Any]:
    """`value_and_grad` that takes what a line search has already found out.

    Args:
        value_fn: from parameters to a number.

    Returns:
        A function of the parameters and, by keyword, `state`: the optimiser's. It computes value
        and gradient only before the first step.

    Raises:
        ArgumentError: there is no state of a line search in `state`.
    """

    def from_state(params: PyTree, *, state: PyTree) -> tuple[Array, PyTree]:
        def is_search(x: Any) -> bool:
            return isinstance(x, ScaleByZoomLinesearchState)

        found = [x for x in tree_leaves(state, is_search) if is_search(x)]
        if not found:
            raise ArgumentError(
                "value_and_grad_from_state: the state has none of a line search",
                mend="use ff.value_and_grad with this optimiser",
            )
        known = found[0].value, found[0].grad

        def compute() -> tuple[Array, PyTree]:
            value, gradient = value_and_grad(value_fn)(params)
            return value.astype(known[0].dtype), chosen(True, gradient, known[1])

        return lax.cond(fnp.isfinite(known[0]), lambda: known, compute)

    return from_state
