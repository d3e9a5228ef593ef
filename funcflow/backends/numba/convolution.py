"""Convolution: lowered to oneDNN where it is present, to matrix products elsewhere.

oneDNN has three directions, and differentiation makes equations of each kind: a dilated image is
the cotangent of strided results, and a window larger than the result is a cotangent contracted with
images. Kernels are brought into the layout that oneDNN asks for; they are small. Images keep theirs
where features are neighbours in memory, as in NHWC: no other layout is faster then. From NCHW they
are reordered, which is cheaper than to compute in it, but for windows of one element, where the
convolution is a matrix product in either layout.

Unlike the reference implementation, oneDNN does not multiply by the zeros of the padding, so an
infinite element of a kernel gives NaN only where it meets a zero of the image itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from funcflow.backends.numba import kernel_cotangents, onednn, window_gemm
from funcflow.backends.numba.convolution_form import Form, Phrase, cropped, form, phrase
from funcflow.backends.numba.onednn import DIFF_WEIGHTS, DST, SRC, Layout, UnsupportedError
from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.program import View, dense_strides
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.lax.convolution import conv_general_dilated_p


def lower_convolution(plan: Planner, eqn: JaxprEqn) -> None:
    """The steps of a `conv_general_dilated`."""
    if any(v.aval.size == 0 for v in (*eqn.invars, *eqn.outvars)):
        plan.host(eqn, "nothing to multiply")
        return
    f = cropped(form(plan, eqn))
    if not _by_onednn(plan, f, eqn):
        window_gemm.lower(plan, f, eqn)


LOWERINGS: dict[Primitive, Lowering] = {conv_general_dilated_p: lower_convolution}


# --- choosing a primitive ---------------------------------------------------------------------


def _by_onednn(plan: Planner, f: Form, eqn: JaxprEqn) -> bool:
    """Write the steps, or return False if oneDNN is absent or has no fast code."""
    known = all(onednn.supports_dtype(view.dtype) for view in (f.x, f.w, f.out))
    words = phrase(f) if known and onednn.library() is not None else None
    if words is None:
        return False
    parts = _primitives(kernel_cotangents.cut(words)) or _primitives([words])
    if parts:
        _write_steps(plan, parts, eqn)
    return bool(parts)


# A convolution or a part of one, and what computes it.
_Part: TypeAlias = tuple[Phrase, onednn.Primitive]


def _primitives(phrases: Sequence[Phrase]) -> Sequence[_Part]:
    """The primitives of all parts of a convolution, or nothing.

    Several have to write kernels in one layout, and not to need more memory than the operands do.
    """
    found = [(words, _fastest(words)) for words in phrases]
    parts = [(words, primitive) for words, primitive in found if primitive is not None]
    if len(parts) < len(phrases):
        return []
    if len(parts) > 1:
        first, *others = (p.descriptors[DIFF_WEIGHTS] for _, p in parts)
        room = sum(primitive.scratchpad for _, primitive in parts)
        operands = sum(v.size * v.dtype.itemsize for words in phrases for v in words.views)
        if room > operands or not all(onednn.equal(first, other) for other in others):
            return []
    return parts


def _fastest(words: Phrase) -> onednn.Primitive | None:
    """The primitive for the layouts in which the convolution is fastest, reorders included."""
    slow = None
    for layouts in _candidates(words):
        try:
            primitive = onednn.convolution(words.described(layouts))
        except UnsupportedError:
            continue
        # The way over a matrix of windows is slow, unless the image itself is that matrix.
        if "gemm" not in primitive.implementation or words.pointwise:
            return primitive
        slow = slow or primitive
    return slow


def _candidates(words: Phrase) -> Sequence[Sequence[Layout]]:
    """Layouts to try, the most promising first."""
    src, weights, dst = own = [_layout(view) for view in words.views]
    if words.direction == "backward_weights":  # sums, which are rounded when they are complete
        weights = replace(weights, dtype="float32")
    kept = [src, weights.free, dst]
    free = [src.free, weights.free, dst.free]
    features_last = all(x.strides is not None and x.strides[1] == 1 for x in (src, dst))
    candidates = [kept, free] if features_last or words.pointwise else [free, kept]
    if features_last:  # parts of arrays are copied, to lie as whole ones do
        src, dst = (_dense_layout(view, _features_last(view)) for view in words.views[::2])
        candidates.insert(1, [src, weights.free, dst])
    if any(x.dtype != "float32" for x in own):  # half floats, on processors without them
        candidates.append([Layout(x.shape, "float32", None) for x in own])
    return candidates


def _layout(view: View) -> Layout:
    """The layout in which a view is handed to oneDNN: its own, if its strides are positive.

    Axes of extent 1 get the strides of a dense array, by which oneDNN recognises layouts.
    """
    last = _features_last(view)
    for order in (last, range(len(view.shape))):
        if view.transpose(order).dense:
            return _dense_layout(view, order)
    return onednn.layout(view) if _positive(view) else _dense_layout(view, last)


def _dense_layout(view: View, order: Sequence[int]) -> Layout:
    strides = dense_strides([view.shape[i] for i in order])
    return Layout(view.shape, view.dtype.name, tuple(strides[i] for i in _inverse(order)))


def _features_last(view: View) -> Sequence[int]:
    return (0, *range(2, len(view.shape)), 1)


def _inverse(order: Sequence[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)


def _positive(view: View) -> bool:
    return all(s > 0 for n, s in zip(view.shape, view.strides, strict=True) if n > 1)


# --- steps ------------------------------------------------------------------------------------


def _write_steps(plan: Planner, parts: Sequence[_Part], eqn: JaxprEqn) -> None:
    """Reorder what is read, execute, add what belongs together, reorder what was written."""
    words, first = parts[0]
    target = first.arguments[onednn.WRITTEN[words.direction]]
    wanted = first.descriptors[target]
    brought: dict[tuple[View, onednn.Primitive, int], View] = {}
    written: dict[View, list[View]] = {}
    calls = []
    for part, primitive in parts:
        views = dict(zip(primitive.arguments, part.views, strict=True))
        result = views.pop(target)
        for argument, view in views.items():
            key = (view, primitive, argument)
            if key not in brought:
                brought[key] = _brought(plan, view, primitive.descriptors[argument], eqn)
        reads = {a: brought[view, primitive, a] for a, view in views.items()}
        direct = len(parts) == 1 and onednn.equal(wanted, _given(result))
        room = result if direct else _room(plan, wanted)
        written.setdefault(result, []).append(room)
        calls.append(onednn.Call(primitive, reads, {target: room}))
    note = f"oneDNN {words.direction}, {first.implementation}"
    if len(calls) > 1:
        note += f", in {len(calls)} parts"
    onednn.execute(plan, calls, eqn, note)
    for result, partial in written.items():
        total = kernel_cotangents.added(plan, partial, eqn)
        if total is not result:
            _reorder(plan, (total, wanted), (result, _given(result)), eqn)


def _given(view: View) -> Any:
    """The memory descriptor of a view."""
    return onednn.memory_descriptor(_layout(view))


def _brought(plan: Planner, view: View, wanted: Any, eqn: JaxprEqn) -> View:
    """The values of a view in the layout that is wanted."""
    if not _positive(view):
        order = _features_last(view)
        view = plan.dense(view.transpose(order)).transpose(_inverse(order))
    given = _given(view)
    if onednn.equal(wanted, given):
        return view
    room = _room(plan, wanted)
    _reorder(plan, (view, given), (room, wanted), eqn)
    return room


def _room(plan: Planner, descriptor: Any) -> View:
    """Memory for an array in a layout of oneDNN."""
    return plan.temporary((onednn.nbytes(descriptor),), "uint8")


def _reorder(
    plan: Planner, source: tuple[View, Any], target: tuple[View, Any], eqn: JaxprEqn
) -> None:
    primitive = onednn.reorder(source[1], target[1])
    call = onednn.Call(primitive, {SRC: source[0]}, {DST: target[0]})
    onednn.execute(plan, [call], eqn, "oneDNN reorder")
