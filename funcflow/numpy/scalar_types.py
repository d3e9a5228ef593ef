"""The dtypes by name (`fnp.float32`), the abstract ones (`fnp.floating`) and the constants.

A scalar type is a class that cannot be instantiated: calling it makes an array. It equals NumPy's
scalar type of the same name, and NumPy takes it wherever a dtype is expected:

    >>> fnp.float32(1.5)
    Array(1.5, dtype=float32)
    >>> np.dtype(fnp.float32) == np.float32 == fnp.float32
    True
"""

import builtins
from typing import Any

import ml_dtypes
import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import DtypeError
from funcflow.numpy.creation import asarray
from funcflow.numpy.promotion import DType


class ScalarType(type):
    """The class of `fnp.float32` and its like."""

    _dtype: DType | str

    @property
    def dtype(cls) -> DType:
        """The dtype; that of `int_`, `float_` and their like depends on the configuration."""
        found = cls._dtype
        return dtypes.as_dtype(_DEFAULTS[found]()) if isinstance(found, str) else found

    def __call__(cls, x: Any) -> Array:
        return asarray(x, dtype=cls.dtype)

    def __eq__(cls, other: object) -> builtins.bool:
        if isinstance(other, ScalarType):
            other = other.dtype.type
        return cls.dtype.type == other

    def __hash__(cls) -> int:
        return hash(cls.dtype.type)

    def __instancecheck__(cls, instance: object) -> builtins.bool:
        return isinstance(instance, cls.dtype.type)

    def __repr__(cls) -> str:
        return f"<class 'funcflow.numpy.{cls.__name__}'>"


_DEFAULTS: dict[str, Any] = {
    "int": dtypes.default_int,
    "uint": lambda: f"u{dtypes.default_int().name}",
    "float": dtypes.default_float,
    "complex": dtypes.default_complex,
}


def _scalar_type(name: str, dtype: Any) -> Any:
    doc = f"The dtype {name}; a call makes an array of it."
    return ScalarType(name, (), {"_dtype": dtype, "__doc__": doc, "__module__": "funcflow.numpy"})


bool_ = bool = _scalar_type("bool", np.dtype("bool"))
int8 = _scalar_type("int8", np.dtype("int8"))
int16 = _scalar_type("int16", np.dtype("int16"))
int32 = _scalar_type("int32", np.dtype("int32"))
int64 = _scalar_type("int64", np.dtype("int64"))
uint8 = _scalar_type("uint8", np.dtype("uint8"))
uint16 = _scalar_type("uint16", np.dtype("uint16"))
uint32 = _scalar_type("uint32", np.dtype("uint32"))
uint64 = _scalar_type("uint64", np.dtype("uint64"))
float16 = _scalar_type("float16", np.dtype("float16"))
bfloat16 = _scalar_type("bfloat16", np.dtype(ml_dtypes.bfloat16))
float32 = single = _scalar_type("float32", np.dtype("float32"))
float64 = double = _scalar_type("float64", np.dtype("float64"))
complex64 = csingle = _scalar_type("complex64", np.dtype("complex64"))
complex128 = cdouble = _scalar_type("complex128", np.dtype("complex128"))

# The dtypes that Python's numbers have; their width is a setting.
int_ = _scalar_type("int_", "int")
uint = _scalar_type("uint", "uint")
float_ = _scalar_type("float_", "float")
complex_ = _scalar_type("complex_", "complex")

# NumPy's abstract types serve as ours.
generic = np.generic
number = np.number
integer = np.integer
signedinteger = np.signedinteger
unsignedinteger = np.unsignedinteger
inexact = np.inexact
floating = np.floating
complexfloating = np.complexfloating
flexible = np.flexible
character = np.character
object_ = np.object_
dtype = np.dtype

pi = np.pi
e = np.e
euler_gamma = np.euler_gamma
inf = np.inf
nan = np.nan
newaxis = None


def finfo(dtype: Any) -> "ml_dtypes.finfo | np.finfo[Any]":
    """The limits of a floating dtype (`eps`, `max`, `tiny`, ...), bfloat16 included."""
    found = dtypes.as_dtype(dtype)
    if not dtypes.is_inexact(found):
        raise DtypeError(f"finfo: {found} is no floating dtype", mend="use iinfo for integers")
    return ml_dtypes.finfo(found)


def iinfo(int_type: Any) -> ml_dtypes.iinfo:
    """The limits of an integer dtype (`min`, `max`, `bits`)."""
    found = dtypes.as_dtype(int_type)
    if not dtypes.is_integer(found):
        raise DtypeError(f"iinfo: {found} is no integer dtype", mend="use finfo for floats")
    return ml_dtypes.iinfo(found)
