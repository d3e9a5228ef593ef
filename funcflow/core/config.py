"""Settings: few, each scoped.

    with ff.config(default_float="float64"):
        ...

A scope lasts for its block, in its thread. `config.update(name, value)` changes the value for
the whole process. Nothing is read from the environment at import.

The number of threads is that of the process, too: of all scopes that there are, the one that allows
the fewest decides. `parallel` is of the thread's scope, for work beside something more important.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import numpy as np

from funcflow.core.errors import ArgumentError

_DEFAULTS: dict[str, Any] = {}
_KINDS = {"default_float": ("f", "floating"), "default_int": ("i", "signed integer")}


class _Setting:
    """Reads one setting: the innermost scope's value, or the process'."""

    def __init__(self, default: Any, doc: str) -> None:
        self.default = default
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        _DEFAULTS[name] = self.default

    def __get__(self, config: "Config | None", owner: type) -> Any:
        return self if config is None else config.in_force()[self.name]


class _Settings(dict[str, Any]):
    """Values by name, never changed; equal ones have the same `number`."""

    __slots__ = ("number",)
    _numbers: ClassVar[dict[tuple[Any, ...], int]] = {}

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.number = self._numbers.setdefault(tuple(values.values()), len(self._numbers))


class Config:
    """The settings in force: `config.name` reads, `with config(name=value):` sets for a block."""

    default_float = _Setting(
        np.dtype("float32"), "The dtype of Python floats; complex numbers have parts of its width."
    )
    default_int = _Setting(np.dtype("int32"), "The dtype of Python ints.")
    disable_jit = _Setting(False, "Whether jit evaluates the function as it stands.")
    backend = _Setting("cpu", "What jit compiles for.")
    show_internal_frames = _Setting(
        False, "Whether tracebacks show the frames of this package between the user's."
    )
    num_cpu_devices = _Setting(None, "How many logical devices the CPU shows; None: one per core.")
    flush_denormals = _Setting(
        False, "Whether compiled code takes subnormal numbers for zeros, which can be much faster."
    )
    parallel = _Setting(
        True, "Whether compiled code may use other threads than the one that calls it."
    )
    num_threads = _Setting(None, "How many threads compiled code may use; None: one per core.")

    def __init__(self) -> None:
        self._process = _Settings(_DEFAULTS)
        self._scoped: ContextVar[_Settings] = ContextVar("config")
        self._caps: list[int] = []  # the numbers of threads of all scopes that there are
        self._lock = threading.Lock()
        self._observers: list[Callable[[int | None], None]] = []

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no setting named {name!r}; there are {sorted(_DEFAULTS)}")

    @property
    def jax_enable_x64(self) -> bool:
        """Whether Python floats and ints become 64-bit; 64-bit arrays need no setting."""
        return self.default_float == np.float64 and self.default_int == np.int64

    def in_force(self) -> "_Settings":
        """All settings by name."""
        return self._scoped.get(self._process)

    @contextmanager
    def __call__(self, **settings: Any) -> Generator[None]:
        """Set the named settings for the block."""
        values = {name: _checked(name, value) for name, value in settings.items()}
        token = self._scoped.set(_Settings(self.in_force() | values))
        cap = values.get("num_threads")
        if cap is not None:
            self._change_caps(self._caps.append, cap)
        try:
            yield
        finally:
            if cap is not None:
                self._change_caps(self._caps.remove, cap)
            self._scoped.reset(token)

    def update(self, name: str, value: Any) -> None:
        """Set one setting for the whole process.

        Programs written for JAX may set `jax_enable_x64`, and those of JAX's settings that have
        one value here, to that value.
        """
        if name == "jax_enable_x64":
            for default, dtype in _defaults_of_width(value).items():
                self.update(default, dtype)
        elif name in _FIXED:
            _check_fixed(name, value)
        else:
            name = name.removeprefix("jax_")
            self._process = _Settings(self._process | {name: _checked(name, value)})
            self._change_caps()

    def thread_cap(self) -> int | None:
        """The most threads that compiled code may use, in the whole process."""
        process: int | None = self._process["num_threads"]
        return min(self._caps if process is None else [*self._caps, process], default=None)

    def observe_thread_cap(self, observer: Callable[[int | None], None]) -> None:
        """Call a function with `thread_cap()`, and again whenever it changes."""
        with self._lock:
            self._observers.append(observer)
            observer(self.thread_cap())

    def _change_caps(self, change: Callable[[int], None] | None = None, cap: int = 0) -> None:
        with self._lock:
            if change is not None:
                change(cap)
            for observer in self._observers:
                observer(self.thread_cap())

    def key(self) -> tuple[Any, ...]:
        """The settings as a hashable value, for caches of what was traced under them."""
        return tuple(self.in_force().values())

    def state(self) -> int:
        """A number for the settings in force, the same whenever they are the same."""
        return self._scoped.get(self._process).number


# Settings of JAX that describe what is always so here, and how to get something else.
_FIXED: dict[str, tuple[tuple[Any, ...], str]] = {
    "jax_platform_name": (("cpu", None), "there is the CPU only"),
    "jax_platforms": (("cpu", None), "there is the CPU only"),
    "jax_default_prng_impl": (("threefry2x32",), "keys are threefry2x32 keys"),
    "jax_threefry_partitionable": ((True,), "streams are those of JAX's default"),
    "jax_numpy_rank_promotion": (("allow",), "arrays of any rank broadcast"),
    "jax_numpy_dtype_promotion": (("standard",), "promotion follows JAX's standard lattice"),
    "jax_default_matmul_precision": (
        (None, "default", "highest", "float32"),
        "products are computed in the dtype of their operands",
    ),
    "jax_debug_nans": ((False,), "with ff.debug_nans(): ..."),
    "jax_log_compiles": ((False,), "jitted functions have cache_info()"),
}


def _check_fixed(name: str, value: Any) -> None:
    accepted, mend = _FIXED[name]
    if value not in accepted:
        raise ArgumentError(
            f"config: {name} is {accepted[0]!r} here and cannot be set to {value!r}", mend=mend
        )


def _defaults_of_width(enable_x64: Any) -> dict[str, str]:
    width = "64" if enable_x64 else "32"
    return {"default_float": "float" + width, "default_int": "int" + width}


def _checked(name: str, value: Any) -> Any:
    if name not in _DEFAULTS:
        raise ArgumentError(
            f"config: no setting named {name!r}", mend=f"use one of {', '.join(_DEFAULTS)}"
        )
    if name == "num_threads" and value is not None:
        return _checked_count(name, value)
    return _checked_dtype(name, value) if name in _KINDS else value


def _checked_count(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(
            f"config: {name} must be a positive whole number, got {value!r}",
            mend="pass a number of threads, or None for one per core",
        )
    return value


def _checked_dtype(name: str, value: Any) -> np.dtype[Any]:
    kind, described = _KINDS[name]
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind != kind or dtype.itemsize > 8 or not dtype.isnative:
        raise ArgumentError(
            f"config: {name} must be a {described} dtype, got {value!r}",
            mend="use a width of 16, 32 or 64 bits, such as 'float64' or 'int64'",
        )
    return dtype


config = Config()


@contextmanager
def enable_x64(new_val: bool = True) -> Generator[None]:
    """Make 64 bits (or, with False, 32) the width of Python floats and ints in the block.

    Example:
        >>> with ff.enable_x64():
        ...     fnp.zeros(2).dtype
        dtype('float64')
    """
    with config(**_defaults_of_width(new_val)):
        yield
