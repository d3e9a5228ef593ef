"""The reference implementation of convolution: matrix products over windows.

Every layout and grouping is brought, by views, to one form with an explicit group axis:

    x    images    (groups, batch, features, *spatial)
    w    kernels   (groups, out features, features, *window)
    out  results   (groups, batch, out features, *places)

    out[g, b, o, t] = sum over f, k of x[g, b, f, t * stride + k * step - low] * w[g, o, f, k]

Where there is little to contract (a depthwise convolution and its derivatives), the products are
taken elementwise. Elsewhere the windows are copied, some images at a time, into a matrix. The
derivative for the kernels is a convolution with few places and large windows, so neither the
order of the matrix's axes nor which axis is cut into parts is fixed: both follow the strides.
"""

import itertools
import math
from typing import Any, NamedTuple

# Elements of the matrix of windows that are copied at a time: it should stay in the cache.
_PART = 1 << 20
# The same for elementwise products.
_SMALL_PART = 1 << 15
# Up to so many pairs of features per group, elementwise products beat small matrix products.
_THIN = 4


class Axis(NamedTuple):
    """How windows lie along one spatial axis."""

    stride: int  # from window to window
    low: int  # zeros in front of the image; elements cut off if negative
    dilation: int  # from element to element of the image, in the padded image
    step: int  # from element to element of the window, in the padded image


def convolve(xp: Any, x: Any, w: Any, out: Any, axes: list[Axis]) -> None:
    """Write the convolution of `x` with `w` to `out`, see above."""
    if not out.size:
        return
    if not w.size:
        out[...] = 0
        return
    split = [i for i, a in enumerate(axes) if a.dilation > 1 and a.stride == a.step == 1]
    if split:
        _by_phases(xp, x, w, out, axes, split)
        return
    places, window = out.shape[3:], w.shape[3:]
    x = _padded(xp, x, axes, places, window)
    many_places = math.prod(places) >= math.prod(window)
    _, batch, features = x.shape[:3]
    out_features = out.shape[2]
    if math.prod(window) == 1:
        _pointwise(xp, x, w, out, axes)
    elif many_places and features * out_features <= _THIN:
        _by_shifts(xp, x, w, out, axes)
    elif not many_places and batch * out_features <= _THIN:
        _by_sums(xp, x, w, out, axes)
    elif 2 * math.prod(x.shape[3:]) * out_features <= math.prod(places) * features:
        _by_scattering(xp, x, w, out, axes)
    else:
        _by_gathering(xp, x, w, out, axes)


def _by_phases(xp: Any, x: Any, w: Any, out: Any, axes: list[Axis], split: list[int]) -> None:
    """Convolve a dilated image without multiplying by the zeros between its elements.

    Of every `dilation` places only the kernel's elements of one phase meet an element of the
    image, so each phase is a plain convolution with every `dilation`-th element of the kernel.
    """
    for phases in itertools.product(*(range(axes[i].dilation) for i in split)):
        plain = list(axes)
        kernel_part, out_part = [slice(None)] * w.ndim, [slice(None)] * out.ndim
        for i, phase in zip(split, phases, strict=True):
            _, low, dilation, _ = axes[i]
            first = (low - phase) % dilation
            kernel_part[3 + i] = slice(first, None, dilation)
            out_part[3 + i] = slice(phase, None, dilation)
            plain[i] = Axis(1, (low - phase - first) // dilation, 1, 1)
        convolve(xp, x, w[tuple(kernel_part)], out[tuple(out_part)], plain)


def _padded(xp: Any, x: Any, axes: list[Axis], places: Any, window: Any) -> Any:
    """The part of the dilated, padded image that the windows cover; a view if nothing is added."""
    extents = [
        (t - 1) * a.stride + (k - 1) * a.step + 1
        for a, t, k in zip(axes, places, window, strict=True)
    ]
    source, target = [slice(None)] * 3, [slice(None)] * 3
    whole = True
    for a, extent, size in zip(axes, extents, x.shape[3:], strict=True):
        # the elements of the image, from `first` up to `last`, that fall into the extent
        first = max(0, -(a.low // a.dilation))
        last = max(first, min(size, (extent - 1 - a.low) // a.dilation + 1))
        begin = a.low + first * a.dilation
        source.append(slice(first, last))
        target.append(slice(begin, begin + (last - first - 1) * a.dilation + 1, a.dilation))
        if last == first:
            target[-1] = slice(0, 0)
        whole = whole and last - first == extent
    x = x[tuple(source)]
    if whole:
        return x
    shape = (*x.shape[:3], *extents)
    order = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))
    padded = xp.zeros([shape[i] for i in order], x.dtype)
    padded = padded.transpose([order.index(i) for i in range(x.ndim)])
    padded[tuple(target)] = x
    return padded


def _features_last(x: Any) -> bool:
    """Whether neighbours in memory are features rather than neighbours in space."""
    spatial = [s for s, extent in zip(x.strides[3:], x.shape[3:], strict=True) if extent > 1]
    return x.strides[2] <= min(spatial, default=0)


def _write_product(xp: Any, a: Any, b: Any, out: Any) -> None:
    """Write `a @ b` to `out`, whose axes are the product's or parts of them."""
    if out.flags.c_contiguous:
        xp.matmul(a, b, out=out.reshape((*a.shape[:-1], b.shape[-1])))
    else:
        out[...] = xp.matmul(a, b).reshape(out.shape)


def _at(x: Any, axes: list[Axis], offset: Any, counts: Any) -> Any:
    """The elements of the image that meet element `offset` of the window, at all places."""
    return x[
        (
            ...,
            *(
                slice(k * a.step, k * a.step + (t - 1) * a.stride + 1, a.stride)
                for a, k, t in zip(axes, offset, counts, strict=True)
            ),
        )
    ]


def _pointwise(xp: Any, x: Any, w: Any, out: Any, axes: list[Axis]) -> None:
    """A window of one element: one matrix product over the features."""
    groups, batch, features = x.shape[:3]
    places = out.shape[3:]
    x = _at(x, axes, [0] * len(axes), places)
    w = w.reshape(w.shape[:3])
    if _features_last(x):
        rows = x.transpose(0, 1, *range(3, x.ndim), 2).reshape(groups, -1, features)
        _write_product(xp, rows, w.swapaxes(1, 2), out.transpose(0, 1, *range(3, out.ndim), 2))
    else:
        columns = x.reshape(groups, batch, features, -1)
        stacked = xp.broadcast_to(w[:, None], (groups, batch, *w.shape[1:]))
        _write_product(xp, stacked, columns, out)


def _by_gathering(xp: Any, x: Any, w: Any, out: Any, axes: list[Axis]) -> None:
    """Copy the windows into a matrix, some images at a time, and multiply it by the kernels."""
    windows = _windows(xp, x, axes, out.shape[3:], w.shape[3:])
    free_first, free, contracted = _matrix_axes(x, w, out)
    order = (0, *free, *contracted) if free_first else (0, *contracted, *free)
    out_order = (0, *free, 2) if free_first else (0, 2, *free)
    # in `w` the window's axes follow the features, in `windows` the places come between
    w_order = (0, 1, *(i if i == 2 else i - len(axes) for i in contracted))
    by_images = _stride(x, 1) >= _stride(x, 2)
    cut = 1 if by_images else 2
    count = x.shape[cut]
    step = min(count, max(1, _PART * count // windows.size))
    buffer = xp.empty(windows.size // count * step, x.dtype)
    total: Any = 0
    for start in range(0, count, step):
        part = (slice(None),) * cut + (slice(start, start + step),)
        piece = windows[part].transpose(order)
        matrix = buffer[: piece.size].reshape(piece.shape)
        matrix[...] = piece
        kernels = (w if by_images else w[part]).transpose(w_order)
        kernels = kernels.reshape(*w.shape[:2], -1)
        length = kernels.shape[2]
        if free_first:
            left, right = matrix.reshape(len(matrix), -1, length), kernels.swapaxes(1, 2)
        else:
            left, right = kernels, matrix.reshape(len(matrix), length, -1)
        if by_images:
            _write_product(xp, left, right, out[part].transpose(out_order))
        else:
            total = total + xp.matmul(left, right)
    if not by_images:
        out = out.transpose(out_order)
        out[...] = total.reshape(out.shape)


def _by_scattering(xp: Any, x: Any, w: Any, out: Any, axes: list[Axis]) -> None:
    """Multiply the images by each element of the window, then add up what meets at each place.

    Where the results have fewer features than the images, these products take less memory than
    the windows would.
    """
    groups, batch, features, *spatial = x.shape
    out_features, places, window = out.shape[2], out.shape[3:], w.shape[3:]
    count = math.prod(window) * out_features
    kernels = w.transpose(0, *range(3, w.ndim), 1, 2).reshape(groups, count, features)
    features_last = _features_last(x)
    n = len(axes)
    step = max(1, _PART // (groups * count * math.prod(spatial)))
    for start in range(0, batch, step):
        images = x[:, start : start + step]
        if features_last:
            rows = images.transpose(0, 1, *range(3, x.ndim), 2).reshape(groups, -1, features)
            products = xp.matmul(kernels, rows.swapaxes(1, 2))
            products = products.reshape(groups, *window, out_features, -1, *spatial)
            order = (*range(1, 1 + n), 0, 2 + n, 1 + n, *range(3 + n, 3 + 2 * n))
        else:
            columns = images.reshape(groups, -1, features, math.prod(spatial))
            products = xp.matmul(kernels[:, None], columns)
            products = products.reshape(groups, -1, *window, out_features, *spatial)
            order = (*range(2, 2 + n), 0, 1, *range(2 + n, 3 + 2 * n))
        products = products.transpose(order)
        terms = (_at(products[k], axes, k, places) for k in _indices(window))
        total = next(terms).copy(order="K")
        for term in terms:
            total += term
        out[:, start : start + step] = total


def _windows(xp: Any, x: Any, axes: list[Axis], places: Any, window: Any) -> Any:
    """A view of the image with axes for groups, images, features, places and the window."""
    spatial = x.strides[3:]
    strides = [s * a.stride for s, a in zip(spatial, axes, strict=True)]
    steps = [s * a.step for s, a in zip(spatial, axes, strict=True)]
    return xp.lib.stride_tricks.as_strided(
        x, (*x.shape[:3], *places, *window), (*x.strides[:3], *strides, *steps)
    )


def _stride(x: Any, *axes: int) -> float:
    """The least distance in memory of neighbours along one of the axes."""
    return min((abs(x.strides[i]) for i in axes if x.shape[i] > 1), default=math.inf)


def _matrix_axes(x: Any, w: Any, out: Any) -> tuple[bool, tuple[int, ...], tuple[int, ...]]:
    """The order of the window view's axes in which copying it reads and writes whole lines.

    Returns:
        Whether the free axes are the matrix's rows, the free axes (images and places), and the
        contracted ones (features and window).
    """
    ndim = x.ndim
    places, window = range(3, ndim), range(ndim, 2 * ndim - 3)
    images, features, spatial = _stride(x, 1), _stride(x, 2), _stride(x, *places)
    if features <= min(images, spatial):
        return True, (1, *places), (*window, 2)
    if images <= spatial:
        return False, (*places, 1), (2, *window)
    # lines run along the places or along the window, whichever has more of them
    return math.prod(out.shape[3:]) < math.prod(w.shape[3:]), (1, *places), (2, *window)


def _indices(shape: tuple[int, ...]) -> Any:
    return itertools.product(*map(range, shape))


def _by_shifts(xp: Any, x: Any, w: Any, out: Any, axes: list[Axis]) -> None:
    """For each element of the window, add the shifted image times that element."""
    groups, batch, features = x.shape[:3]
    out_features, places = out.shape[2], out.shape[3:]
    step = max(1, _SMALL_PART * batch // (groups * batch * math.prod(places)))
    spread = (slice(None), None) + (None,) * len(axes)
    for start in range(0, batch, step):
        part = slice(start, start + step)
        for o in range(out_features):
            total = out[:, part, o]
            total[...] = 0
            product = xp.empty_like(total)
            for f, *offset in _indices((features, *w.shape[3:])):
                shifted = _at(x[:, part, f], axes, offset, places)
                element = w[(slice(None), o, f, *offset)][spread]
                xp.multiply(shifted, element, out=product)
                xp.add(total, product, out=total)


def _by_sums(xp: Any, x: Any, w: Any, out: Any, axes: list[Axis]) -> None:
    """For each place, sum the products of the image's part there with the kernels."""
    # places and window change roles: the window is long, and its elements are a step apart
    turned = [a._replace(stride=a.step, step=a.stride) for a in axes]
    labels = list(range(w.ndim - 1))
    for place in _indices(out.shape[3:]):
        part = _at(x, turned, place, w.shape[3:])
        for b, o in itertools.product(range(x.shape[1]), range(w.shape[1])):
            out[(slice(None), b, o, *place)] = xp.einsum(part[:, b], labels, w[:, o], labels, [0])
