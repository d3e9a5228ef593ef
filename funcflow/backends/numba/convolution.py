"""Convolution: lowered to oneDNN where it is present, to matrix products elsewhere.

Convolutions to few features are matrix products everywhere (`few_features`).

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
from typing import Any, TypeAlias

from funcflow.backends.numba import convolution_parts, few_features, onednn, window_gemm
from funcflow.backends.numba.convolution_form import Form, Phrase, cropped, form, phrase
from funcflow.backends.numba.onednn import DST, SRC, Layout, UnsupportedError
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
    if not few_features.lower(plan, f, eqn) and not _by_onednn(plan, f, eqn):
        window_gemm.lower(plan, f, eqn)


LOWERINGS: dict[Primitive, Lowering] = {conv_general_dilated_p: lower_convolution}


# --- choosing a primitive ---------------------------------------------------------------------


def _by_onednn(plan: Planner, f: Form, eqn: JaxprEqn) -> bool:
    """Write the steps, or return False if oneDNN is absent or has no fast code."""
    known = all(onednn.supports_dtype(view.dtype) for view in (f.x, f.w, f.out))
    words = phrase(f) if known and onednn.library() is not None else None
    if words is None:
        return False
    result = words.views[onednn.WRITTEN[words.direction]]
    target = _with_positive_strides_like(plan, result)
    words = words._replace(views=tuple(target if v is result else v for v in words.views))
    for most in _MOST_PARTS:
        parts = _primitives(convolution_parts.cut(words, most))
        if parts:
            _write_steps(plan, parts, eqn)
            if target is not result:
                plan.copy(target, result)
            return True
    return False


# Into how many parts convolutions are cut, if those need little enough memory.
_MOST_PARTS = (16, 4, 1)

# A convolution or a part of one, and what computes it.
_Part: TypeAlias = tuple[Phrase, onednn.Primitive]


def _primitives(phrases: Sequence[Phrase]) -> Sequence[_Part]:
    """The primitives of all parts of a convolution, or nothing.

    What is to be added has to be in one layout, and several parts must not need more memory to
    work in than the operands take.
    """
    found = [(words, _fastest(words)) for words in phrases]
    parts = [(words, primitive) for words, primitive in found if primitive is not None]
    if len(parts) < len(phrases):
        return []
    if len(parts) > 1:
        room = sum(primitive.scratchpad for _, primitive in parts)
        operands = sum(v.size * v.dtype.itemsize for words in phrases for v in words.views)
        if room > operands or not _add_up(parts):
            return []
    return parts


def _add_up(parts: Sequence[_Part]) -> bool:
    """Whether parts with the same result write it in the same layout."""
    wanted: dict[View, Any] = {}
    return all(
        onednn.equal(wanted.setdefault(result, descriptor), descriptor)
        for result, descriptor in (_written(*part) for part in parts)
    )


def _written(words: Phrase, primitive: onednn.Primitive) -> tuple[View, Any]:
    """The result, and the descriptor of what the primitive writes."""
    place = onednn.WRITTEN[words.direction]
    return words.views[place], primitive.descriptors[primitive.arguments[place]]


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
        weights = weights._replace(dtype="float32")
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
    brought: dict[View, list[tuple[Any, View]]] = {}
    moves: dict[int, list[_Move]] = {argument: [] for argument in first.arguments}

    def bring(argument: int, view: View, wanted: Any) -> View:
        known = brought.setdefault(view, [])
        for descriptor, room in known:
            if onednn.equal(descriptor, wanted):
                return room
        room = positive = _with_positive_strides(plan, view)
        if not onednn.equal(wanted, _given(positive)):
            room = _room(plan, wanted)
            moves[argument].append(((positive, _given(positive)), (room, wanted)))
        known.append((wanted, room))
        return room

    written: dict[View, tuple[Any, list[View]]] = {}
    added = len({_written(*part)[0] for part in parts}) < len(parts)
    calls = []
    for part, primitive in parts:
        result, wanted = _written(part, primitive)
        room = _room(plan, wanted)
        if not added and onednn.equal(wanted, _given(result)):
            room = result
        written.setdefault(result, (wanted, []))[1].append(room)
        views = dict(zip(primitive.arguments, part.views, strict=True))
        del views[target]
        reads = {a: bring(a, view, primitive.descriptors[a]) for a, view in views.items()}
        calls.append(onednn.Call(primitive, reads, {target: room}))
    note = f"oneDNN {words.direction}, {first.implementation}"
    if len(calls) > 1:
        note += f", in {len(calls)} parts"
    for some in moves.values():
        _reorder(plan, some, eqn)
    onednn.execute(plan, calls, eqn, note)
    totals = {result: convolution_parts.added(plan, w[1], eqn) for result, w in written.items()}
    results = [
        ((total, written[result][0]), (result, _given(result)))
        for result, total in totals.items()
        if total is not result
    ]
    _reorder(plan, results, eqn)


def _given(view: View) -> Any:
    """The memory descriptor of a view."""
    return onednn.memory_descriptor(_layout(view))


def _with_positive_strides(plan: Planner, view: View) -> View:
    """The view itself, or a copy."""
    if _positive(view):
        return view
    order = _features_last(view)
    return plan.dense(view.transpose(order)).transpose(_inverse(order))


def _with_positive_strides_like(plan: Planner, view: View) -> View:
    """The view itself, or memory for its values."""
    if _positive(view):
        return view
    order = _features_last(view)
    room = plan.temporary([view.shape[i] for i in order], view.dtype)
    return room.transpose(_inverse(order))


def _room(plan: Planner, descriptor: Any) -> View:
    """Memory for an array in a layout of oneDNN."""
    return plan.temporary((onednn.nbytes(descriptor),), "uint8")


# Where values are and where they are brought, each with its memory descriptor.
_Move: TypeAlias = tuple[tuple[View, Any], tuple[View, Any]]


def _reorder(plan: Planner, moves: Sequence[_Move], eqn: JaxprEqn) -> None:
    """Copy values between layouts: several at the same time, or one with oneDNN's threads."""
    alone = len(moves) > 1
    calls = [
        onednn.Call(onednn.reorder(given, wanted, alone=alone), {SRC: source}, {DST: target})
        for (source, given), (target, wanted) in moves
    ]
    onednn.execute(plan, calls, eqn, "oneDNN reorder")
