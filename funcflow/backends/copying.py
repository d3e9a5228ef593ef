"""Steps that only move values."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from funcflow.backends.emit import GroupWriter
from funcflow.backends.passes.groups import Group
from funcflow.backends.program import Step, View
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import Atom, JaxprEqn, Var
from funcflow.lax.casting import copy_p


def copy_step(source: View, target: View, eqns: tuple[JaxprEqn, ...] = ()) -> Step:
    """A step that copies values from one view to another of the same shape."""
    source, target = as_words(source), as_words(target)
    x = Var(ShapedArray(source.shape, source.dtype))
    (step,) = fill_steps(x, target, {}, lambda _: source)
    return replace(step, eqns=eqns, note="copy")


def fill_steps(
    x: Var, target: View, virtual: Mapping[Var, JaxprEqn], view_of: Callable[[Atom], View]
) -> list[Step]:
    """Steps that store a value, which may be virtual, in a view."""
    y = Var(ShapedArray(target.shape, target.dtype))
    group = Group(0)
    group.eqns = [JaxprEqn([x], [y], copy_p, {})]
    place = tuple(None if n == 1 else i for i, n in enumerate(target.shape))
    group.extents = {i: n for i, n in enumerate(target.shape) if n != 1}
    group.places = {y: place}
    return GroupWriter(group, virtual, view_of, {y: target}).steps()


def as_words(view: View) -> View:
    """A view as one of unsigned integers, so that all dtypes of a width share their copies."""
    width = view.dtype.itemsize
    if width <= 8:
        word = np.dtype(f"u{width}")
        return View(view.buffer, word, view.shape, view.strides, view.offset)
    strides = (*(2 * s for s in view.strides), 1)
    return View(view.buffer, np.dtype("u8"), (*view.shape, 2), strides, view.offset * 2)
