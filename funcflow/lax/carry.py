"""What loops share: tracing bodies, whose results must have the carry's type, and conditions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.errors import ArgumentError, CarryTypeError, ShapeError
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


def trace_condition(
    loop: str, condition: Callable[..., Any], in_tree: PyTreeDef, carry: Sequence[Any]
) -> ClosedJaxpr:
    """Trace a loop's condition and check that it returns a boolean scalar."""
    closed = stage_out(FlatFunction(condition, in_tree), [aval_of(x) for x in carry])
    result = closed.out_avals
    if len(result) != 1 or result[0].shape != () or result[0].dtype != np.dtype(bool):
        raise ShapeError(
            f"{loop}: {name_of(condition)} must return a boolean scalar, it returned "
            f"{', '.join(map(str, result)) or 'nothing'}",
            mend="compare, or reduce with fnp.any / fnp.all",
        )
    return closed


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


def common_length(leaves: Sequence[Any], length: int | None) -> int:
    """How many steps a scan has, by the arrays of its `xs` and its argument `length`."""
    avals = [aval_of(x) for x in leaves]
    for aval in avals:
        if not aval.ndim:
            raise ShapeError(
                f"scan: an array of xs is {aval}, it has no leading axis to scan over",
                mend="stack the inputs of the steps along a leading axis",
            )
    found = {aval.shape[0] for aval in avals} | ({int(length)} if length is not None else set())
    if not found:
        raise ArgumentError("scan: xs has no arrays and length is not given", mend="pass length=n")
    if min(found) < 0:
        raise ArgumentError(
            f"scan: length={length} is negative", mend="pass the number of steps, 0 or more"
        )
    if len(found) > 1:
        raise ShapeError(
            f"scan: the leading axes of xs differ: {', '.join(map(str, avals))}"
            + (f", length={length}" if length is not None else ""),
            mend="give all arrays of xs the same leading extent",
        )
    return found.pop()
