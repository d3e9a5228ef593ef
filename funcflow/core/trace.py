"""What happens when an operation is asked for: evaluate it, or write it down.

There is one current trace per thread and context, and no stack: a transform makes a trace that
knows its parent, sets it current, and hands its own operations to the parent. With no transform
at work the current trace is `EVAL`, which computes at once.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from funcflow.core import rules
from funcflow.core.array import Array, as_buffer, aval_of, is_array_like, own, wrap
from funcflow.core.backend import array_namespace
from funcflow.core.errors import (
    ConcretizationTypeError,
    LeafTypeError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
    UnexpectedTracerError,
)

if TYPE_CHECKING:
    from funcflow.core.primitive import Primitive


class Trace:
    """How operations are processed while this trace is the current one."""

    __slots__ = ("alive", "parent")

    def __init__(self, parent: "Trace | None") -> None:
        self.parent = parent
        self.alive = True

    def process(self, primitive: "Primitive", args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Apply `primitive`; the result, or list of results."""
        raise NotImplementedError

    def process_custom_jvp(self, rule: Any, args: Sequence[Any]) -> list[Any]:
        """Apply a function that has a forward rule of its own (`transforms.custom_jvp`)."""
        raise NotImplementedError

    def process_custom_vjp(self, rule: Any, args: Sequence[Any]) -> list[Any]:
        """Apply a function that has a reverse rule of its own."""
        raise NotImplementedError


class Tracer(Array):
    """A value that a trace follows."""

    __slots__ = ("owner",)

    owner: Trace

    @property
    def weak_type(self) -> bool:  # type: ignore[override]
        return self.aval.weak_type

    def concrete(self) -> Array | None:
        """The value where it is known while tracing (under `jvp`, `grad`), else None."""
        return None

    def _known(self, error: type[ConcretizationTypeError], what: str, mend: str) -> Any:
        value = self.concrete()
        if value is None:
            raise error(
                f"{what} needs the value of {self.describe()}, which is traced{self.origin()}",
                mend=mend,
            )
        return value

    def origin(self) -> str:
        """Where the value comes from, in brackets, where that is known; for messages."""
        return ""

    def describe(self) -> str:
        """The value in words, for messages."""
        return str(self.aval)

    def __bool__(self) -> bool:
        mend = "use fnp.where, lax.cond or lax.while_loop, or mark the argument as static"
        return bool(self._known(TracerBoolConversionError, "`if`, `and`, `while` or bool()", mend))

    def __int__(self) -> int:
        mend = "keep the value in arrays, or mark the argument as static"
        return int(self._known(ConcretizationTypeError, "int()", mend))

    def __float__(self) -> float:
        mend = "keep the value in arrays (x.astype(float)), or mark the argument as static"
        return float(self._known(ConcretizationTypeError, "float()", mend))

    def __complex__(self) -> complex:
        mend = "keep the value in arrays, or mark the argument as static"
        return complex(self._known(ConcretizationTypeError, "complex()", mend))

    def __index__(self) -> int:
        mend = "index an array instead of a list, or mark the argument as static"
        return self._known(TracerIntegerConversionError, "use as a Python index", mend).__index__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise TracerArrayConversionError(
            f"conversion to a NumPy array needs the value of {self.describe()}, "
            f"which is traced{self.origin()}",
            mend="index fnp.asarray(a) instead of a NumPy array a; of NumPy's functions use those "
            "of the same name in funcflow.numpy, or ff.pure_callback",
        )

    def item(self, *index: int) -> Any:
        mend = "keep the value in arrays, or return it from the traced function"
        return self._known(ConcretizationTypeError, ".item()", mend).item(*index)

    def tolist(self) -> Any:
        mend = "keep the value in arrays, or return it from the traced function"
        return self._known(ConcretizationTypeError, ".tolist()", mend).tolist()

    def block_until_ready(self) -> "Tracer":
        return self

    def __iter__(self) -> Iterator[Array]:
        if not self.shape:
            raise TypeError("iteration over a 0-dimensional array")
        return (self[i] for i in range(self.shape[0]))

    def __repr__(self) -> str:
        return f"Traced<{self.describe()}>"

    def __format__(self, spec: str) -> str:
        value = self.concrete()
        return format(repr(self), "") if value is None else format(value, spec)


class EvalTrace(Trace):
    """Compute at once: with the reference implementations, but long loops are compiled."""

    __slots__ = ()

    def process(self, primitive: "Primitive", args: Sequence[Any], params: dict[str, Any]) -> Any:
        try:
            buffers = [self._buffer(x) for x in args]
        except LeafTypeError:
            raise refused(primitive, args) from None
        avals = rules.abstract[primitive](*map(aval_of, args), **params)  # checks the arguments
        impl = rules.eager.get(primitive) or rules.impl[primitive]
        if isinstance(impl, rules.Absent):
            raise rules.not_evaluable(primitive, impl)
        with np.errstate(all="ignore"):
            out = impl(array_namespace(buffers), *buffers, **params)
        if not primitive.multiple_results:
            return wrap(own([out], args)[0], avals.weak_type)
        return [wrap(x, aval.weak_type) for x, aval in zip(own(out, args), avals, strict=True)]

    def process_custom_jvp(self, rule: Any, args: Sequence[Any]) -> list[Any]:
        return rule.call(*args)

    def process_custom_vjp(self, rule: Any, args: Sequence[Any]) -> list[Any]:
        return rule.call(*args)

    @staticmethod
    def _buffer(x: Any) -> Any:
        if isinstance(x, Tracer):
            raise leaked(x)
        return as_buffer(x)


EVAL = EvalTrace(None)
current_trace: ContextVar[Trace] = ContextVar("current_trace", default=EVAL)


@contextmanager
def set_trace(trace: Trace) -> Generator[None]:
    """Make `trace` the current one for the block."""
    token = current_trace.set(trace)
    try:
        yield
    finally:
        current_trace.reset(token)


def under(trace: Trace, function: Callable[..., Any], *args: Any, **params: Any) -> Any:
    """Call `function` with `trace` as the current one."""
    token = current_trace.set(trace)
    try:
        return function(*args, **params)
    finally:
        current_trace.reset(token)


def refused(primitive: "Primitive", args: Sequence[Any]) -> LeafTypeError:
    """The error for an argument that is no array."""
    place, x = next((i, x) for i, x in enumerate(args) if not is_array_like(x))
    return LeafTypeError(
        f"{primitive.name}: argument {place} is {x!r} of type {type(x).__name__}, "
        "which is neither an array nor a number",
        mend="convert it with fnp.array(...)",
    )


def leaked(x: Tracer) -> UnexpectedTracerError:
    """The error for a traced value that is used where its trace does not see it."""
    if x.owner.alive:
        return UnexpectedTracerError(
            f"the traced value {x.describe()} is used by a function with a rule of its own, which "
            "closes over it",
            mend="pass the value to that function as an argument",
        )
    return UnexpectedTracerError(
        f"the traced value {x.describe()}{x.origin()} is used outside the function it was "
        "traced in",
        mend="return the value from the traced function instead of storing it outside",
    )
