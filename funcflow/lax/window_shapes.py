"""How sliding windows lie in an array, and how many there are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from funcflow.core.aval import Shape
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.lax.convolution_shapes import dilated, padtype_to_pads, windows_along

Pads = tuple[tuple[int, int], ...]


class Window(NamedTuple):
    """How windows lie in an array; each field has one entry per axis.

    The array is first spread out (`base_dilation - 1` holes between neighbours), then padded or,
    where an entry is negative, cropped. A window's elements are `window_dilation` apart, the
    windows `window_strides`. The fields are the parameters of the primitives in `lax.window`.
    """

    window_dimensions: Shape
    window_strides: Shape
    padding: Pads
    base_dilation: Shape
    window_dilation: Shape

    @property
    def tiles(self) -> bool:
        """Whether windows are boxes side by side, without padding."""
        solid = all(d == 1 for d in (*self.base_dilation, *self.window_dilation))
        padded = any(n for pads in self.padding for n in pads)
        return solid and not padded and self.window_strides == self.window_dimensions

    def shape(self, shape: Shape) -> Shape:
        """The number of windows along each axis of an array of the given shape."""
        widths = spread(shape, self.base_dilation)
        spans = spread(self.window_dimensions, self.window_dilation)
        padded = [width + sum(pads) for width, pads in zip(widths, self.padding, strict=True)]
        return tuple(map(windows_along, padded, spans, self.window_strides))

    def padding_config(self) -> tuple[tuple[int, int, int], ...]:
        """Padding and base dilation as `lax.pad` takes them."""
        return tuple((*p, b - 1) for p, b in zip(self.padding, self.base_dilation, strict=True))

    def insert_axis(self, d: int) -> "Window":
        """The same windows in an array with a further axis at `d`."""
        new = (1, 1, (0, 0), 1, 1)
        fields: Any = ((*f[:d], n, *f[d:]) for f, n in zip(self, new, strict=True))
        return Window(*fields)

    def transposed(self, shape: Shape) -> "Window":
        """The windows over cotangents: each element's window holds the windows it was in.

        Holes and strides change places, and the padding leaves one window per element.
        """
        spans = spread(self.window_dimensions, self.window_dilation)
        widths = spread(self.shape(shape), self.window_strides)
        lows = [span - 1 - low for span, (low, _) in zip(spans, self.padding, strict=True)]
        highs = [
            span + (extent - 1) * base - width - low
            for span, extent, base, width, low in zip(
                spans, shape, self.base_dilation, widths, lows, strict=True
            )
        ]
        return self._replace(
            window_strides=self.base_dilation,
            padding=tuple(zip(lows, highs, strict=True)),
            base_dilation=self.window_strides,
        )


def spread(extents: Sequence[int], steps: Sequence[int]) -> Shape:
    """The extents of axes whose elements are moved `steps` apart."""
    return tuple(map(dilated, extents, steps))


def canonical_window(
    function: str,
    shape: Shape,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None,
    padding: str | Sequence[tuple[int, int]],
    base_dilation: Sequence[int] | None,
    window_dilation: Sequence[int] | None,
) -> Window:
    """The windows that a public function's arguments describe, checked."""
    ones = (1,) * len(shape)
    given = {
        "window_dimensions": window_dimensions,
        "window_strides": ones if window_strides is None else window_strides,
        "base_dilation": ones if base_dilation is None else base_dilation,
        "window_dilation": ones if window_dilation is None else window_dilation,
    }
    counts: dict[str, Shape] = {}
    for name in given:
        counts[name] = values = tuple(map(int, given[name]))
        _check_length(function, name, values, shape)
        if any(value < 1 for value in values):
            raise ArgumentError(
                f"{function}: {name} must be positive, got {values}", mend="use numbers from 1 on"
            )
    if isinstance(padding, str):
        spans = spread(counts["window_dimensions"], counts["window_dilation"])
        padding = padtype_to_pads(shape, spans, counts["window_strides"], padding)
    _check_length(function, "padding", padding, shape)
    pads = tuple((int(low), int(high)) for low, high in padding)
    return Window(padding=pads, **counts)


def _check_length(function: str, name: str, values: Sequence[Any], shape: Shape) -> None:
    if len(values) != len(shape):
        raise ShapeError(
            f"{function}: {name} {tuple(values)} for an operand of shape {tuple(shape)}",
            mend="give one entry for each axis of the operand",
        )


def reduce_window_shape_tuple(
    operand_shape: Sequence[int],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None,
    padding: str | Sequence[tuple[int, int]],
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Shape:
    """The shape of the result of `reduce_window`; see there for the arguments."""
    shape = tuple(map(int, operand_shape))
    window = canonical_window(
        "reduce_window_shape_tuple",
        shape,
        window_dimensions,
        window_strides,
        padding,
        base_dilation,
        window_dilation,
    )
    return window.shape(shape)
