"""How the axes of gathers and scatters are named, and what they do with windows outside."""

from enum import Enum
from typing import Any, NamedTuple

from funcflow.core.errors import ArgumentError

Dims = tuple[int, ...]


class GatherDimensionNumbers(NamedTuple):
    """How the axes of a gather's operand, indices and result belong together.

    Attributes:
        offset_dims: the axes of the result that run over the window, in increasing order.
        collapsed_slice_dims: axes of the operand, of window extent 1, that the result lacks.
        start_index_map: for each component of an index vector, the axis of the operand it
            indexes.
        operand_batching_dims: axes of the operand that run along with an axis of the indices ...
        start_indices_batching_dims: ... and those axes of the indices.
    """

    offset_dims: Dims
    collapsed_slice_dims: Dims
    start_index_map: Dims
    operand_batching_dims: Dims = ()
    start_indices_batching_dims: Dims = ()


class ScatterDimensionNumbers(NamedTuple):
    """How the axes of a scatter's operand, indices and updates belong together.

    Attributes:
        update_window_dims: the axes of the updates that run over the window, increasing.
        inserted_window_dims: axes of the operand, of window extent 1, that the updates lack.
        scatter_dims_to_operand_dims: for each component of an index vector, the axis of the
            operand it indexes.
        operand_batching_dims: axes of the operand that run along with an axis of the indices ...
        scatter_indices_batching_dims: ... and those axes of the indices.
    """

    update_window_dims: Dims
    inserted_window_dims: Dims
    scatter_dims_to_operand_dims: Dims
    operand_batching_dims: Dims = ()
    scatter_indices_batching_dims: Dims = ()


class GatherScatterMode(Enum):
    """What happens to windows that are not inside the operand.

    CLIP: they are moved inside. FILL_OR_DROP: a gather gives a fill value for them, a scatter
    leaves them out. PROMISE_IN_BOUNDS: the caller promises that there are none; what happens
    otherwise is undefined, but harmless.
    """

    CLIP = "clip"
    FILL_OR_DROP = "fill"
    PROMISE_IN_BOUNDS = "promise_in_bounds"

    @staticmethod
    def from_any(mode: "str | GatherScatterMode | None") -> "GatherScatterMode":
        """The mode of that name; "drop" is another name for "fill", and None means it too."""
        if isinstance(mode, GatherScatterMode):
            return mode
        if mode is None or mode == "drop":
            return GatherScatterMode.FILL_OR_DROP
        try:
            return GatherScatterMode(mode)
        except ValueError:
            raise ArgumentError(
                f"unknown gather or scatter mode {mode!r}",
                mend="use 'clip', 'fill', 'drop' or 'promise_in_bounds'",
            ) from None


def canonical_dims(numbers: Any, cls: type[Any]) -> Any:
    """Dimension numbers with tuples of integers in every field, hence hashable."""
    if not isinstance(numbers, cls):
        raise ArgumentError(
            f"dimension_numbers must be {cls.__name__}, got {type(numbers).__name__}",
            mend=f"pass ff.lax.{cls.__name__}(...)",
        )
    return cls(*(tuple(map(int, field)) for field in numbers))


def to_scatter(dims: GatherDimensionNumbers) -> ScatterDimensionNumbers:
    """The scatter that writes the windows that a gather reads."""
    return ScatterDimensionNumbers(*dims)


def to_gather(dims: ScatterDimensionNumbers) -> GatherDimensionNumbers:
    """The gather that reads the windows that a scatter writes."""
    return GatherDimensionNumbers(*dims)
