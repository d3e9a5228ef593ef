"""Implicit differentiation: `custom_root` and `custom_linear_solve`.

The derivative of a solution follows from the equation that it solves, not from the steps of the
solver (implicit function theorem), so the solver may be anything.
"""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.errors import ArgumentError, ShapeError, TreeStructureError
from funcflow.core.evaluate import eval_closed, eval_jaxpr
from funcflow.core.flatten import FlatFunction, flatten_arguments
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import INDEX_CHECK, ClosedJaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import structure_difference, tree_flatten, tree_map
from funcflow.core.rewrite import hoist
from funcflow.core.rules import define
from funcflow.core.staging import stage_out
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax.arithmetic import neg, sub
from funcflow.lax.shape import instantiate, moveaxis, zeros
from funcflow.transforms.custom_jvp import custom_jvp
from funcflow.transforms.linearize import linearize
from funcflow.transforms.transpose import linear_transpose

linear_solve_p = Primitive("custom_linear_solve", multiple_results=True)


@hides_internal_frames
def custom_root(
    f: Callable[[Any], Any],
    initial_guess: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    tangent_solve: Callable[[Callable[[Any], Any], Any], Any],
    has_aux: bool = False,
) -> Any:
    """A root of `f`, differentiable in what `f` closes over.

    Args:
        f: from a pytree of arrays to one of the same structure, shapes and dtypes.
        initial_guess: where the solver starts; it has no influence on the derivative.
        solve: `solve(f, initial_guess)` returns the root (with `has_aux`, and something more).
        tangent_solve: `tangent_solve(g, y)` solves `g(x) = y` for a linear function `g`; it must
            be linear in `y`. For scalars: `lambda g, y: y / g(1.0)`.
        has_aux: `solve` returns `(root, auxiliary)`.

    Returns:
        The root, and the auxiliary value if `has_aux`.

    Raises:
        TreeStructureError: `f` does not return the structure that it is given.

    Example:
        >>> def sqrt(a):
        ...     newton = lambda f, x: ff.lax.fori_loop(0, 20, lambda _, x: (x + a / x) / 2, x)
        ...     return ff.lax.custom_root(lambda x: x * x - a, 1.0, newton, lambda g, y: y / g(1.0))
        >>> ff.grad(sqrt)(4.0)
        Array(0.25, dtype=float32)
    """
    leaves, in_tree = flatten_arguments("custom_root", (initial_guess,), {})
    flat = FlatFunction(f, in_tree)
    closed = stage_out(flat, [aval_of(x) for x in leaves])
    _check_same_type("custom_root: f", initial_guess, flat.out_tree.unflatten(closed.out_avals))

    def f_of(consts: Sequence[Any], x: Any) -> Any:
        outs = eval_jaxpr(closed.jaxpr, consts, *tree_flatten(x)[0])
        return flat.out_tree.unflatten(outs)

    # What `f` and `solve` close over becomes arguments, so that the rule sees its tangents.
    solver = FlatFunction(lambda guess: solve(f, guess), in_tree)
    solving = stage_out(solver, [aval_of(x) for x in leaves])

    def root(consts: Sequence[Any], solve_consts: Sequence[Any], guess: Sequence[Any]) -> Any:
        out = solver.out_tree.unflatten(eval_jaxpr(solving.jaxpr, solve_consts, *guess))
        return out if has_aux else (out, None)

    def rule(primals: Any, tangents: Any) -> Any:
        consts, consts_dot = primals[0], tangents[0]
        x, aux = with_rule(*primals)
        _, g = linearize(lambda x: f_of(consts, x), x)
        _, push = linearize(lambda consts: f_of(consts, x), consts)
        x_dot = tangent_solve(g, tree_map(neg, push(consts_dot)))
        return (x, aux), (x_dot, tree_map(lambda a: zeros(aval_of(a)), aux))

    with_rule = custom_jvp(root)
    with_rule.defjvp(rule)
    x, aux = with_rule(list(closed.consts), list(solving.consts), leaves)
    return (x, aux) if has_aux else x


def _check_same_type(what: str, expected: Any, got: Any) -> None:
    difference = structure_difference(expected, got)
    if difference:
        raise TreeStructureError(
            f"{what} must return the structure that it is given; they differ {difference}",
            mend="return one array per leaf of the argument",
        )
    for x, y in zip(tree_flatten(expected)[0], tree_flatten(got)[0], strict=True):
        if aval_of(x).shape != aval_of(y).shape:
            raise ShapeError(
                f"{what} must return the shapes that it is given, "
                f"got {aval_of(y)} for {aval_of(x)}",
                mend="return arrays of the argument's shapes",
            )


@hides_internal_frames
def custom_linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    transpose_solve: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """The solution of `matvec(x) = b`, differentiable in `b` and in what `matvec` closes over.

    Args:
        matvec: a linear function of pytrees of arrays.
        b: the right-hand side.
        solve: `solve(matvec, b)` returns the solution (with `has_aux`, and something more).
        transpose_solve: `transpose_solve(vecmat, b)` solves the transposed equation; needed for
            reverse mode.
        symmetric: `matvec` is symmetric, so `solve` serves for the transpose too.
        has_aux: `solve` returns `(solution, auxiliary)`.

    Returns:
        The solution, in the structure of `b`, and the auxiliary value if `has_aux`.

    Raises:
        TreeStructureError, ShapeError: `matvec` does not return what it is given.

    Example:
        >>> a = fnp.array([[2.0, 0.0], [0.0, 4.0]])
        >>> solver = lambda matvec, b: fnp.linalg.solve(a, b)
        >>> matvec = lambda x: a @ x
        >>> ff.lax.custom_linear_solve(matvec, fnp.ones(2), solve=solver, symmetric=True)
        Array([0.5 , 0.25], dtype=float32)
    """
    leaves, in_tree = flatten_arguments("custom_linear_solve", (b,), {})
    avals = [aval_of(x).strip_weak_type() for x in leaves]

    def trace(function: Callable[..., Any], *first: Any) -> tuple[ClosedJaxpr, FlatFunction]:
        flat = FlatFunction(lambda rhs: function(*first, rhs), in_tree)
        return stage_out(flat, avals), flat

    matvec_closed, matvec_flat = trace(matvec)
    _check_same_type("custom_linear_solve: matvec", b, _unflatten(matvec_flat, matvec_closed))
    solve_closed, solve_flat = trace(solve, matvec)
    solution = _unflatten(solve_flat, solve_closed)
    _check_same_type("custom_linear_solve: solve", b, solution[0] if has_aux else solution)
    if symmetric:
        transposed = solve_closed
    elif transpose_solve is not None:
        vecmat = linear_transpose(matvec, b)
        transposed, _ = trace(lambda rhs: transpose_solve(lambda y: vecmat(y)[0], rhs))
    else:
        transposed = None
    outs = _bind(matvec_closed, solve_closed, transposed, (), (), (), leaves)
    return solve_flat.out_tree.unflatten(outs)


def _unflatten(flat: FlatFunction, closed: ClosedJaxpr) -> Any:
    return flat.out_tree.unflatten(closed.out_avals)


def _bind(
    matvec: ClosedJaxpr,
    solve: ClosedJaxpr,
    transposed: ClosedJaxpr | None,
    matvec_consts: Sequence[Any],
    solve_consts: Sequence[Any],
    transposed_consts: Sequence[Any],
    b: Sequence[Any],
) -> list[Any]:
    matvec, more = hoist(matvec)
    matvec_consts = [*more, *matvec_consts]
    solve, more = hoist(solve)
    solve_consts = [*more, *solve_consts]
    if transposed is not None:
        transposed, more = hoist(transposed)
        transposed_consts = [*more, *transposed_consts]
    return linear_solve_p.bind(
        *matvec_consts,
        *solve_consts,
        *transposed_consts,
        *b,
        matvec=matvec,
        solve=solve,
        transposed=transposed,
        counts=(len(matvec_consts), len(solve_consts), len(transposed_consts)),
    )


def _parts(items: Sequence[Any], counts: tuple[int, int, int]) -> list[list[Any]]:
    """Constants of matvec, of solve, of the transposed solve; the right-hand side."""
    ends = (counts[0], counts[0] + counts[1], sum(counts))
    starts = (0, *ends)
    return [list(items[a:b]) for a, b in zip(starts, (*ends, len(items)), strict=True)]


def _solve_abstract(*avals: ShapedArray, solve: ClosedJaxpr, **_: Any) -> list[ShapedArray]:
    return solve.out_avals


def _solve_impl(xp: Any, *buffers: Any, solve: ClosedJaxpr, counts: Any, **_: Any) -> list[Any]:
    solve_consts, b = _parts(buffers, counts)[1::2]
    return eval_buffers(solve, [*solve_consts, *b])


def _solve_jvp(
    ctx: Any, primals: Any, tangents: Any, *, matvec: ClosedJaxpr, counts: Any, **params: Any
) -> Any:
    """From A x = b: A dx = db - dA x."""
    outs = linear_solve_p.bind(*primals, matvec=matvec, counts=counts, **params)
    consts, _, _, b = _parts(primals, counts)
    consts_dot, _, _, b_dot = _parts(tangents, counts)
    x, aux = outs[: len(b)], outs[len(b) :]
    rhs = [instantiate(t) for t in b_dot]
    nonzero = [type(t) is not Zero for t in consts_dot]
    if any(nonzero):
        inner, _ = ctx.jaxpr(matvec, [*nonzero, *[False] * len(x)], True)
        given = [t for t in consts_dot if type(t) is not Zero]
        moved = eval_closed(inner, *consts, *x, *given)[len(x) :]
        rhs = [sub(t, m) for t, m in zip(rhs, moved, strict=True)]
    elif all(type(t) is Zero for t in b_dot):
        return outs, [Zero(aval_of(out)) for out in outs]
    args = [*primals[: sum(counts)], *rhs]
    x_dot = linear_solve_p.bind(*args, matvec=matvec, counts=counts, **params)[: len(b)]
    return outs, [*x_dot, *(Zero(aval_of(a)) for a in aux)]


def _solve_transpose(
    ctx: Any,
    cts: Any,
    *args: Any,
    matvec: ClosedJaxpr,
    solve: ClosedJaxpr,
    transposed: ClosedJaxpr | None,
    counts: tuple[int, int, int],
) -> list[Any]:
    if transposed is None:
        raise ArgumentError(
            "custom_linear_solve: reverse mode needs a transposed solve",
            mend="pass transpose_solve, or symmetric=True",
        )
    matvec_consts, solve_consts, transposed_consts, b = _parts(args, counts)
    linear = [*[False] * len(matvec_consts), *[True] * len(b)]
    vecmat, _ = ctx.jaxpr(matvec, linear, [True] * len(b), True)
    rhs = [instantiate(ct) for ct in cts[: len(b)]]
    outs = _bind(vecmat, transposed, solve, matvec_consts, transposed_consts, solve_consts, rhs)
    ct_b = [ct if is_undefined(x) else None for ct, x in zip(outs, b, strict=False)]
    return [*[None] * sum(counts), *ct_b]


def _solve_batch(
    ctx: Any,
    args: Any,
    dims: Any,
    *,
    matvec: ClosedJaxpr,
    solve: ClosedJaxpr,
    transposed: ClosedJaxpr | None,
    counts: tuple[int, int, int],
) -> Any:
    fixed = [
        x if d is None else moveaxis(x, d, 0)
        for x, d in zip(args[: sum(counts)], dims[: sum(counts)], strict=True)
    ]
    matvec_consts, solve_consts, transposed_consts, _ = _parts(fixed, counts)
    batched = _parts([d is not None for d in dims], counts)
    b = [ctx.to_front(x, d) for x, d in zip(args[sum(counts) :], dims[sum(counts) :], strict=True)]
    every = [True] * len(b)
    outs = _bind(
        ctx.jaxpr(matvec, [*batched[0], *every], True)[0],
        ctx.jaxpr(solve, [*batched[1], *every], True)[0],
        None if transposed is None else ctx.jaxpr(transposed, [*batched[2], *every], True)[0],
        matvec_consts,
        solve_consts,
        transposed_consts,
        b,
    )
    return outs, [0] * len(outs)


define(
    linear_solve_p,
    abstract=_solve_abstract,
    impl=_solve_impl,
    jvp=_solve_jvp,
    transpose=_solve_transpose,
    batch=_solve_batch,
    effects=lambda *, solve, **_: solve.effects & {INDEX_CHECK},
)
