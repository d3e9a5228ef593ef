"""What loops share: tracing a body whose result must have the type of its carry."""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.errors import CarryTypeError
from funcflow.core.flatten import FlatFunction, name_of
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.pytree import (
    PyTreeDef,
    keystr,
    structure_difference,
    tree_flatten_with_path,
)
from funcflow.core.staging import stage_out
from funcflow.lax.casting import convert_element_type


def trace_body(
    loop: str,
    body: Callable[..., Any],
    in_tree: PyTreeDef,
    carry_tree: PyTreeDef,
    carry: Sequence[Any],
    others: Sequence[ShapedArray],
    carry_of: Callable[[Any], Any],
) -> tuple[ClosedJaxpr, FlatFunction, list[Any]]:
    """Trace a loop's body and check that it returns a carry of the type that it is given.

    A weakly typed initial carry (a Python number) takes the dtype that the body returns.

    Args:
        loop: the function's name, for errors.
        body: called with the leaves of `in_tree`.
        in_tree: the structure of the body's arguments.
        carry_tree: the structure of the carry.
        carry: the leaves of the initial carry.
        others: the abstract values of the body's further arguments.
        carry_of: picks the carry out of the body's result.

    Returns:
        The jaxpr, the flat function, and the initial carry, converted where it was weak.
    """
    avals = [aval_of(x) for x in carry]
    for _ in range(len(avals) + 1):
        flat = FlatFunction(body, in_tree)
        closed = stage_out(flat, [*avals, *others])
        result = carry_of(flat.out_tree.unflatten(closed.out_avals))
        widened = _widen(loop, body, carry_tree, avals, result)
        if widened == avals:
            break
        avals = widened
    carry = [
        convert_element_type(x, a.dtype, a.weak_type) if aval_of(x) != a else x
        for x, a in zip(carry, avals, strict=True)
    ]
    return closed, flat, carry


def _widen(
    loop: str,
    body: Callable[..., Any],
    carry_tree: PyTreeDef,
    avals: list[ShapedArray],
    result: Any,
) -> list[ShapedArray]:
    """The carry's types, with weak ones replaced by what the body returns."""
    expected = carry_tree.unflatten(avals)
    difference = structure_difference(expected, result)
    if difference:
        raise CarryTypeError(
            f"{loop}: {name_of(body)} must return a carry of the structure that it is given; "
            f"they differ {difference}\n  given:    {expected}\n  returned: {result}",
            mend="return the carry in the structure of the initial value",
        )
    widened: list[ShapedArray] = []
    paths = [path for path, _ in tree_flatten_with_path(expected)[0]]
    returned: list[Any] = carry_tree.flatten_up_to(result)
    for path, before, after in zip(paths, avals, returned, strict=True):
        if (before.shape, before.dtype, before.weak_type) == (
            after.shape,
            after.dtype,
            after.weak_type and before.weak_type,
        ):
            widened.append(before)
        elif before.weak_type and before.shape == after.shape:
            widened.append(after)
        else:
            raise CarryTypeError(
                f"{loop}: {name_of(body)} must return a carry of the type that it is given; "
                f"the carry{keystr(path)} goes in as {before} and comes out as {after}\n"
                f"  given:    {expected}\n  returned: {result}",
                mend="convert inside the body (.astype, reshape), or start from a carry of the "
                "type that the body returns",
            )
    return widened
