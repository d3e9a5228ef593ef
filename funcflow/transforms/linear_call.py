"""`linear_call`: a linear function that brings its own transpose.

Its arguments are residuals, in which it may be anything, and then tangents, in which it is linear.
"""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.evaluate import eval_closed
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import INDEX_CHECK, ClosedJaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.rewrite import hoist
from funcflow.core.rules import define
from funcflow.core.staging import stage_out
from funcflow.lax.forms import add_p
from funcflow.lax.shape import instantiate, moveaxis
from funcflow.transforms.mapped_rules import map_in_front

Tangent = Callable[..., list[Any]]
Cotangent = Callable[[list[Any], list[Any]], list[Any]]

linear_call_p = Primitive("linear_call", multiple_results=True)


def linear_call(
    tangent: Tangent, cotangent: Cotangent, residuals: Sequence[Any], tangents: Sequence[Any]
) -> list[Any]:
    """`tangent(residuals, *tangents)`, whose transpose is `cotangent(residuals, cotangents)`."""
    count = len(residuals)

    def function(*values: Any) -> list[Any]:
        return tangent(list(values[:count]), *values[count:])

    closed, consts = hoist(stage_out(function, [aval_of(x) for x in (*residuals, *tangents)]))
    return linear_call_p.bind(
        *consts,
        *residuals,
        *tangents,
        jaxpr=closed,
        cotangent=cotangent,
        num_consts=len(consts),
        num_residuals=count,
    )


def _linear_abstract(*avals: ShapedArray, jaxpr: ClosedJaxpr, **_: Any) -> list[ShapedArray]:
    return jaxpr.out_avals


def _linear_impl(xp: Any, *buffers: Any, jaxpr: ClosedJaxpr, **_: Any) -> list[Any]:
    return eval_buffers(jaxpr, buffers)


def _linear_jvp(
    ctx: Any,
    primals: Any,
    tangents: Any,
    *,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_residuals: int,
    **params: Any,
) -> Any:
    """The product rule: linear in the last arguments, anything in those before."""
    params |= {"jaxpr": jaxpr, "num_consts": num_consts, "num_residuals": num_residuals}
    outs = linear_call_p.bind(*primals, **params)
    fixed = num_consts + num_residuals
    terms: list[list[Any]] = []
    if any(type(t) is not Zero for t in tangents[fixed:]):
        terms.append(
            linear_call_p.bind(*primals[:fixed], *map(instantiate, tangents[fixed:]), **params)
        )
    nonzero = [type(t) is not Zero for t in tangents[:fixed]]
    if any(nonzero):
        inner, _ = ctx.jaxpr(jaxpr, [*nonzero, *[False] * (len(primals) - fixed)], True)
        moved = [t for t in tangents[:fixed] if type(t) is not Zero]
        terms.append(eval_closed(inner, *primals, *moved)[len(outs) :])
    sums = [add_p.bind(*pair) if len(pair) == 2 else pair[0] for pair in zip(*terms, strict=True)]
    return outs, sums


def _linear_transpose(
    ctx: Any,
    cts: Any,
    *args: Any,
    cotangent: Cotangent,
    num_consts: int,
    num_residuals: int,
    **_: Any,
) -> list[Any]:
    fixed = num_consts + num_residuals
    results = cotangent(list(args[num_consts:fixed]), [instantiate(ct) for ct in cts])
    return [
        *[None] * fixed,
        *(r if is_undefined(x) else None for r, x in zip(results, args[fixed:], strict=True)),
    ]


def _linear_batch(
    ctx: Any,
    args: Any,
    dims: Any,
    *,
    jaxpr: ClosedJaxpr,
    cotangent: Cotangent,
    num_consts: int,
    num_residuals: int,
) -> Any:
    fixed = num_consts + num_residuals
    moved = [x if d is None else moveaxis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    # every lane has tangents of its own, so that the cotangents need not be summed
    moved[fixed:] = [ctx.to_front(x, d) for x, d in zip(args[fixed:], dims[fixed:], strict=True)]
    places = [None if d is None else 0 for d in dims[:fixed]]
    inner, _ = ctx.jaxpr(
        jaxpr, [*(d is not None for d in places), *[True] * (len(args) - fixed)], True
    )

    def batched_cotangent(residuals: list[Any], cts: list[Any]) -> list[Any]:
        return map_in_front(
            ctx,
            lambda *xs: cotangent(list(xs[:num_residuals]), list(xs[num_residuals:])),
            [*residuals, *cts],
            [*places[num_consts:], *[0] * len(cts)],
        )

    outs = linear_call_p.bind(
        *moved,
        jaxpr=inner,
        cotangent=batched_cotangent,
        num_consts=num_consts,
        num_residuals=num_residuals,
    )
    return outs, [0] * len(outs)


define(
    linear_call_p,
    abstract=_linear_abstract,
    impl=_linear_impl,
    jvp=_linear_jvp,
    transpose=_linear_transpose,
    batch=_linear_batch,
    effects=lambda *, jaxpr, **_: jaxpr.effects & {INDEX_CHECK},
)
