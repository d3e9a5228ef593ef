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
from typing import Any

from funcflow.backends.numba import onednn, window_gemm
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
    if not _by_onednn(plan, f, eqn):
        window_gemm.lower(plan, f, eqn)


LOWERINGS: dict[Primitive, Lowering] = {conv_general_dilated_p: lower_convolution}


# --- choosing a primitive ---------------------------------------------------------------------


def _by_onednn(plan: Planner, f: Form, eqn: JaxprEqn) -> bool:
    """Write the steps, or return False if oneDNN is absent or has no fast code."""
    known = all(onednn.supports_dtype(view.dtype) for view in (f.x, f.w, f.out))
    words = phrase(f) if known and onednn.library() is not None else None
    primitive = _fastest(words) if words is not None else None
    if words is None or primitive is None:
        return False
    _write_steps(plan, words, primitive, eqn)
    return True


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
    own = [_layout(view) for view in words.views]
    src, weights, dst = own
    kept = [src, weights.free, dst]
    free = [x.free for x in own]
    features_last = all(x.strides is not None and x.strides[1] == 1 for x in (src, dst))
    candidates = [kept, free] if features_last or words.pointwise else [free, kept]
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


def _write_steps(plan: Planner, words: Phrase, primitive: onednn.Primitive, eqn: JaxprEqn) -> None:
    """Reorder what is read, execute, reorder what was written."""
    views = dict(zip(primitive.arguments, words.views, strict=True))
    target = primitive.arguments[onednn.WRITTEN[words.direction]]
    result = views.pop(target)
    reads = {a: _brought(plan, view, primitive.descriptors[a], eqn) for a, view in views.items()}
    wanted, given = primitive.descriptors[target], onednn.memory_descriptor(_layout(result))
    direct = onednn.equal(wanted, given)
    written = result if direct else _room(plan, wanted)
    note = f"oneDNN {words.direction}, {primitive.implementation}"
    onednn.execute(plan, primitive, reads, {target: written}, eqn, note)
    if not direct:
        _reorder(plan, (written, wanted), (result, given), eqn)


def _brought(plan: Planner, view: View, wanted: Any, eqn: JaxprEqn) -> View:
    """The values of a view in the layout that is wanted."""
    if not _positive(view):
        order = _features_last(view)
        view = plan.dense(view.transpose(order)).transpose(_inverse(order))
    given = onednn.memory_descriptor(_layout(view))
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
    onednn.execute(plan, primitive, {SRC: source[0]}, {DST: target[0]}, eqn, "oneDNN reorder")
