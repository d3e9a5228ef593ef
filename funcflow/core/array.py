"""`Array`: the one type users hold, and `ConcreteArray`, the one that has values.

A traced value is an `Array` too (`core.trace.Tracer`), so `isinstance(x, ff.Array)` holds in
every transform. The operators (`+`, `[]`, `.sum()`, `.at`) are defined in terms of operations
that live in later layers; `funcflow.numpy` installs them on `Array` (see `install_methods`),
once for concrete and traced arrays alike.

A concrete array owns its buffer and never hands out a writable view of it: that is what makes
slices without copies safe.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from funcflow.core import dtypes
from funcflow.core.aval import ShapedArray
from funcflow.core.errors import (
    ArgumentError,
    DeletedArrayError,
    ImmutableError,
    LeafTypeError,
)
from funcflow.core.memory import aligned_copy
from funcflow.core.typing import Buffer, Shape

if TYPE_CHECKING:
    from funcflow.core.array_methods import ArrayMethods
else:
    ArrayMethods = object

# The Python types whose values are arrays of no dimension.
SCALARS: tuple[Any, ...] = (bool, int, float, complex)
# NumPy's types of arrays and scalars. (What `isinstance` finds to be of a type `Any` stays `Any`.)
NUMPY_ARRAY: Any = np.ndarray
NUMPY_SCALAR: Any = np.generic
NUMPY_TYPES: tuple[Any, ...] = (np.ndarray, np.generic)


class Array(ArrayMethods):
    """An immutable n-dimensional array, concrete or traced."""

    __slots__ = ("__weakref__",)

    # NumPy hands mixed expressions such as `ndarray + Array` to us.
    __array_priority__ = 1000

    weak_type: bool

    if TYPE_CHECKING:  # concrete and traced arrays have these, each in its own way

        def item(self, *index: int) -> Any: ...
        def tolist(self) -> Any: ...
        def block_until_ready(self) -> "Array": ...
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any: ...
        def __int__(self) -> int: ...
        def __float__(self) -> float: ...
        def __complex__(self) -> complex: ...
        def __index__(self) -> int: ...
        def __iter__(self) -> Iterator["Array"]: ...

    @property
    def aval(self) -> ShapedArray:
        """Shape, dtype and weak flag."""
        raise NotImplementedError

    @property
    def shape(self) -> Shape:
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return len(self.aval.shape)

    @property
    def size(self) -> int:
        return self.aval.size

    @property
    def itemsize(self) -> int:
        return self.aval.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.aval.size * self.aval.dtype.itemsize

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise TypeError("len() of a 0-dimensional array")
        return shape[0]

    def __setitem__(self, index: object, value: object) -> None:
        raise ImmutableError(
            f"x[...] = ...: arrays are immutable, so no elements can be set in {self.aval}",
            mend="x = x.at[index].set(value), or .add(value) for +=",
        )

    if not TYPE_CHECKING:  # the type checker concludes it from `__eq__`
        __hash__ = None


def install_methods(methods: Mapping[str, Callable[..., Any] | property]) -> None:
    """Give `Array` its operators; called once, by the layer that defines them."""
    for name, method in methods.items():
        setattr(Array, name, method)


class ConcreteArray(Array):
    """An array with values, in a NumPy (or CuPy) buffer."""

    __slots__ = ("_value",)

    weak_type = False

    def __init__(self, value: Buffer) -> None:
        # trusted: `value` is a buffer that nobody else writes to
        self._value = value

    @property
    def aval(self) -> ShapedArray:
        value = self._value
        return ShapedArray(value.shape, value.dtype, self.weak_type)

    @property
    def shape(self) -> Shape:
        return self._value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._value.dtype

    @property
    def ndim(self) -> int:
        return self._value.ndim

    @property
    def size(self) -> int:
        return self._value.size

    @property
    def nbytes(self) -> int:
        return self._value.nbytes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy or (dtype is not None and dtype != self._value.dtype):
            return np.array(self._value, dtype=dtype, copy=True if copy is None else copy)
        view = self._value.view()
        view.flags.writeable = False
        return view

    def __dlpack__(self, **options: Any) -> Any:
        # the consumer may write, so it gets a copy of its own
        options["copy"] = None
        return self._value.copy().__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._value.__dlpack_device__()

    def item(self, *index: int) -> Any:
        """The value as a Python scalar."""
        return self._value.item(*index)

    def tolist(self) -> Any:
        """The values as nested lists of Python scalars."""
        return self._value.tolist()

    def tobytes(self) -> bytes:
        """The values' bytes in row-major order."""
        return self._value.tobytes()

    def block_until_ready(self) -> "ConcreteArray":
        """The array itself: on the CPU, results are there when the call returns."""
        return self

    def __bool__(self) -> bool:
        if self._value.size != 1:
            raise ArgumentError(
                f"bool(): the truth value of {self.aval} is ambiguous",
                mend="use x.any() or x.all()",
            )
        return bool(self._value)

    def __int__(self) -> int:
        return int(self._value)

    def __float__(self) -> float:
        return float(self._value)

    def __complex__(self) -> complex:
        return complex(self._value)

    def __index__(self) -> int:
        return self._value.__index__()

    def __iter__(self) -> Iterator["ConcreteArray"]:
        if not self._value.ndim:
            raise TypeError("iteration over a 0-dimensional array")
        value, cls = self._value, type(self)
        return (cls(value[i, ...]) for i in range(len(value)))

    def __contains__(self, item: object) -> bool:
        return item in self._value

    def __format__(self, spec: str) -> str:
        if spec and not self._value.ndim:
            return format(self._value.item(), spec)
        return format(str(self), spec)

    def __str__(self) -> str:
        return str(self._value)

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        text = np.array2string(self._value, separator=", ", prefix="Array(")
        if not self.size and self.ndim > 1:
            text += f", shape={self.shape}"
        return f"Array({text}, dtype={self._value.dtype.name}{weak})"

    def __reduce__(self) -> Any:
        return type(self), (self._value,)

    def __copy__(self) -> "ConcreteArray":
        return self

    def __deepcopy__(self, memo: Any) -> "ConcreteArray":
        return self

    def is_deleted(self) -> bool:
        """Whether the array was donated to a jitted function, which has used its memory."""
        return False


class WeakArray(ConcreteArray):
    """A concrete array that takes the other operand's dtype, as a Python scalar does."""

    __slots__ = ()

    weak_type = True


class DeletedArray(ConcreteArray):
    """What an array becomes whose memory was given away: its values are gone.

    In place of the buffer it keeps its shape, dtype and weak flag, and who has taken the memory.
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # where there is always a value

        @property
        def _value(self) -> Buffer:
            *_, taker = _slot(self)
            raise DeletedArrayError(
                f"the array {self.aval} was donated to {taker}, and has been deleted",
                mend="use what the call returned, or don't donate the argument",
            )

    @property
    def aval(self) -> ShapedArray:
        return ShapedArray(*_slot(self)[:3])

    def is_deleted(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<deleted Array {self.aval}>"

    __str__ = __repr__


_slot: Any = ConcreteArray.__dict__["_value"].__get__


def wrap(buffer: Buffer, weak_type: bool = False) -> ConcreteArray:
    """A buffer that nobody else writes to, as an array. NumPy scalars become 0-d buffers."""
    if isinstance(buffer, NUMPY_SCALAR):
        buffer = np.asarray(buffer)
    return WeakArray(buffer) if weak_type else ConcreteArray(buffer)


def as_buffer(x: Any) -> Buffer:
    """The buffer of a concrete array, NumPy array or scalar."""
    if isinstance(x, ConcreteArray):
        return x._value  # pyright: ignore[reportPrivateUsage]
    if type(x) in SCALARS:
        return np.asarray(x, dtypes.scalar_dtype(type(x)))
    if isinstance(x, NUMPY_TYPES):
        return np.asarray(x)
    raise LeafTypeError(
        f"{x!r} of type {type(x).__name__} is neither an array nor a number",
        mend="convert it with fnp.array(...)",
    )


def own(results: Sequence[Any], args: Sequence[Any]) -> Sequence[Any]:
    """`results`, copied where they are views of NumPy arrays in `args`, which may still change."""
    foreign = [x for x in args if isinstance(x, NUMPY_ARRAY)]
    if not foreign:
        return results
    return [y.copy() if any(np.may_share_memory(y, x) for x in foreign) else y for y in results]


def as_array(x: Any) -> Array:
    """A leaf as an `Array`: numbers and NumPy arrays are wrapped, the latter copied."""
    if isinstance(x, Array):
        return x
    if isinstance(x, NUMPY_ARRAY):
        return ConcreteArray(aligned_copy(x))
    return wrap(as_buffer(x), type(x) in (int, float, complex))


def aval_of(x: Any) -> ShapedArray:
    """The abstract value of an array, traced or not, or of a number."""
    if isinstance(x, Array):
        return x.aval
    if type(x) in SCALARS:
        return ShapedArray((), dtypes.scalar_dtype(type(x)), type(x) is not bool)
    if isinstance(x, NUMPY_TYPES):
        return ShapedArray(x.shape, dtypes.as_dtype(x.dtype))
    if hasattr(x, "shape") and hasattr(x, "dtype"):  # ShapeDtypeStruct and its like
        return ShapedArray(tuple(x.shape), dtypes.as_dtype(x.dtype), getattr(x, "weak_type", False))
    raise LeafTypeError(
        f"{x!r} of type {type(x).__name__} is neither an array nor a number",
        mend="pass an array, or mark the argument as static",
    )


def shape_of(x: Any) -> Shape:
    """The shape of an array, traced or not, or of a number."""
    try:
        return x.shape
    except AttributeError:
        return aval_of(x).shape


def ndim_of(x: Any) -> int:
    """The number of dimensions of an array, traced or not, or of a number."""
    return len(shape_of(x))


_ARRAY_TYPES = (Array, np.ndarray, np.generic)

# What functions of arrays take.
ArrayLike: TypeAlias = Array | np.ndarray[Any, Any] | np.generic | bool | int | float | complex


def is_array_like(x: object) -> bool:
    """Whether `x` may be a leaf of a function's arguments: an array or a number."""
    return isinstance(x, _ARRAY_TYPES) or type(x) in SCALARS
