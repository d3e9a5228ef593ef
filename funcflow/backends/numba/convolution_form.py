"""A convolution's operands in canonical order, and what oneDNN calls such a convolution."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from funcflow.backends.numba.onednn import Convolution, Layout
from funcflow.backends.planner import Planner
from funcflow.backends.program import View
from funcflow.core.jaxpr import JaxprEqn

Axes = tuple[int, ...]


class Form(NamedTuple):
    """The views of a convolution, and how its windows lie.

    Attributes:
        x: images (batch, features, *spatial).
        w: kernels (out features, in features, *window).
        out: results (batch, out features, *places).
        strides: from window to window.
        low: zeros in front of the dilated image along each axis; elements cut off if negative.
        dilation: from element to element of the image.
        step: from element to element of the window.
        feature_groups: groups of features, or ...
        batch_groups: ... of the batch; see `lax.conv_general_dilated`.
    """

    x: View
    w: View
    out: View
    strides: Axes
    low: Axes
    dilation: Axes
    step: Axes
    feature_groups: int
    batch_groups: int

    @property
    def window(self) -> Axes:
        return self.w.shape[2:]

    @property
    def places(self) -> Axes:
        return self.out.shape[2:]

    @property
    def spatial(self) -> Axes:
        return self.x.shape[2:]


def form(plan: Planner, eqn: JaxprEqn) -> Form:
    """The form of an equation; its result is a new view of the plan."""
    params = eqn.params
    lhs_spec, rhs_spec, out_spec = params["dimension_numbers"]
    lhs, rhs = map(plan.operand, eqn.invars)
    return Form(
        lhs.transpose(lhs_spec),
        rhs.transpose(rhs_spec),
        plan.result(eqn.outvars[0]).transpose(out_spec),
        params["window_strides"],
        tuple(low for low, _ in params["padding"]),
        params["lhs_dilation"],
        params["rhs_dilation"],
        params["feature_group_count"],
        params["batch_group_count"],
    )


def cropped(f: Form) -> Form:
    """The same convolution without negative padding: images are cut to what the windows cover."""
    if max(f.dilation, default=1) > 1:
        return f
    starts = [max(0, -low) for low in f.low]
    ends = [
        min(size, (t - 1) * stride + (k - 1) * step + 1 - low)
        for size, t, stride, k, step, low in zip(
            f.spatial, f.places, f.strides, f.window, f.step, f.low, strict=True
        )
    ]
    x = f.x.slice((0, 0, *starts), (*f.x.shape[:2], *ends), (1,) * len(f.x.shape))
    return f._replace(x=x, low=tuple(max(0, low) for low in f.low))


class Phrase(NamedTuple):
    """A convolution in oneDNN's words.

    Attributes:
        direction: "forward", "backward_data" or "backward_weights".
        views: images, kernels and results of the forward direction; see `onednn.Convolution`. The
            direction writes one of them.
        strides, dilation, low: the forward direction's.
    """

    direction: str
    views: tuple[View, View, View]
    strides: Axes
    dilation: Axes
    low: Axes

    @property
    def pointwise(self) -> bool:
        """Whether each place depends on one element of space, itself."""
        src, weights, dst = self.views
        window = weights.shape[len(weights.shape) - len(self.low) :]
        return prod(window) == 1 and src.shape[2:] == dst.shape[2:] and not any(self.low)

    def described(self, layouts: Sequence[Layout]) -> Convolution:
        """The description with given layouts of the views.

        The padding behind is what the extents leave. It would be negative where windows do not
        reach the images' end, but then 0 is as good: the number of places is rounded down.
        """
        src, weights, dst = layouts
        high = tuple(
            max(0, (t - 1) * stride + (k - 1) * dilation + 1 - size - low)
            for t, stride, k, dilation, size, low in zip(
                dst.shape[2:],
                self.strides,
                weights.shape[len(weights.shape) - len(self.low) :],
                self.dilation,
                src.shape[2:],
                self.low,
                strict=True,
            )
        )
        return Convolution(
            self.direction, src, weights, dst, self.strides, self.dilation, self.low, high
        )


def phrase(f: Form) -> Phrase | None:
    """What oneDNN calls a convolution; None if it has no word for it."""
    many_places = prod(f.places) >= prod(f.window)
    if max(f.dilation, default=1) > 1:
        if f.batch_groups > 1:
            return None
        if not many_places and f.feature_groups == 1 and max(f.step) == 1:
            return _backward_weights_of_dilated(f)
        return _backward_data(f) if max(f.strides) == 1 else None
    if f.batch_groups > 1 or (not many_places and f.feature_groups == 1):
        return _backward_weights(f)
    weights = _split(f.w, 0, f.feature_groups) if f.feature_groups > 1 else f.w
    return Phrase("forward", (f.x, weights, f.out), f.strides, f.step, f.low)


def _backward_data(f: Form) -> Phrase | None:
    """A dilated image is the cotangent of a strided convolution with flipped kernels."""
    low = tuple((k - 1) * step - low for k, step, low in zip(f.window, f.step, f.low, strict=True))
    if min(low) < 0:
        return None
    rank = len(f.low)
    w = f.w.reverse(range(2, 2 + rank))
    if f.feature_groups > 1:
        weights = _swap(_split(w, 0, f.feature_groups), 1, 2)
    else:
        weights = _swap(w, 0, 1)
    return Phrase("backward_data", (f.out, weights, f.x), f.dilation, f.step, low)


def _backward_weights(f: Form) -> Phrase:
    """Images and large kernels contracted over places: the cotangent of kernels.

    The batch of that convolution is what are features here, and the other way round.
    """
    groups = f.batch_groups
    out = f.out
    if groups > 1:
        split = _split(out, 1, groups)
        weights = split.transpose((1, 2, 0, *range(3, len(split.shape))))
    else:
        weights = _swap(out, 0, 1)
    views = (_swap(f.x, 0, 1), weights, _swap(f.w, 0, 1))
    return Phrase("backward_weights", views, f.step, f.strides, f.low)


def _backward_weights_of_dilated(f: Form) -> Phrase | None:
    """A dilated image and large kernels: the cotangent of a transposed convolution's kernels.

    It is that of the strided convolution which is transposed, whose images are the kernels here and
    whose window is turned round.
    """
    low = tuple((k - 1) * s - low for k, s, low in zip(f.places, f.strides, f.low, strict=True))
    if min(low) < 0:
        return None
    ends = (
        min(size, (t - 1) * dilation + (k - 1) * stride + 1 - begin)
        for size, t, dilation, k, stride, begin in zip(
            f.window, f.spatial, f.dilation, f.places, f.strides, low, strict=True
        )
    )
    src = _swap(f.w, 0, 1)
    for axis, end in enumerate(ends, 2):
        src = src.part(axis, 0, end)
    weights = f.out.reverse(range(2, 2 + len(low)))
    return Phrase("backward_weights", (src, weights, _swap(f.x, 0, 1)), f.dilation, f.strides, low)


def _swap(view: View, i: int, j: int) -> View:
    order = list(range(len(view.shape)))
    order[i], order[j] = j, i
    return view.transpose(order)


def _split(view: View, axis: int, groups: int) -> View:
    """An axis as two: groups, and what is in each."""
    n, stride = view.shape[axis], view.strides[axis]
    shape = (*view.shape[:axis], groups, n // groups, *view.shape[axis + 1 :])
    strides = (*view.strides[:axis], n // groups * stride, stride, *view.strides[axis + 1 :])
    return view._replace(shape=shape, strides=strides)
