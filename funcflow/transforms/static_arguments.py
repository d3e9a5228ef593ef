"""Arguments of jitted functions that are Python values and part of the signature."""

import inspect
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from funcflow.core.errors import ArgumentError, UnhashableStaticError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def listed(x: Any) -> tuple[Any, ...]:
    """One value, a sequence of values or None, as a tuple."""
    if x is None:
        return ()
    return (x,) if isinstance(x, int | str) else tuple(x)


class StaticArguments:
    """Which arguments are static, by place and by name: a parameter may be passed either way.

    With another `kind` ("donated"), which arguments are something else.
    """

    def __init__(
        self,
        name: str,
        fun: Callable[..., Any],
        nums: Sequence[int],
        names: Sequence[str],
        kind: str = "static",
    ) -> None:
        self.name = name
        self._kind = kind
        self.nums = tuple(nums)
        self.names = tuple(names)
        if self.nums or self.names:
            self._complete(fun)

    def _complete(self, fun: Callable[..., Any]) -> None:
        """Check against the function's parameters; add the names of places and vice versa."""
        try:
            parameters = inspect.signature(fun).parameters
        except (ValueError, TypeError):  # a builtin without a signature
            return
        kinds = {p.kind for p in parameters.values()}
        positional = [k for k, p in parameters.items() if p.kind in _POSITIONAL]
        count = len(positional)
        for i in self.nums:
            if not -count <= i < count and inspect.Parameter.VAR_POSITIONAL not in kinds:
                raise ArgumentError(
                    f"{self.name}: the {self._kind} argument {i} is not there: the function takes "
                    f"{count} positional arguments",
                    mend=f"name places that the function has in {self._option}_argnums",
                )
        for k in self.names:
            if k not in parameters and inspect.Parameter.VAR_KEYWORD not in kinds:
                raise ArgumentError(
                    f"{self.name}: the {self._kind} argument {k!r} is not there: the function "
                    f"takes {', '.join(parameters)}",
                    mend=f"name parameters that the function has in {self._option}_argnames",
                )
        by_place = [positional[i] for i in self.nums if -count <= i < count]
        by_name = [positional.index(k) for k in self.names if k in positional]
        if inspect.Parameter.VAR_POSITIONAL not in kinds:
            self.nums = tuple(i % count for i in self.nums)
        self.nums = tuple(dict.fromkeys((*self.nums, *by_name)))
        self.names = tuple(dict.fromkeys((*self.names, *by_place)))

    @property
    def _option(self) -> str:
        return self._kind.removesuffix("d")  # donate_argnums, static_argnums

    def bind(
        self, fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Hashable]:
        """The function with its static arguments filled in, the others, and the former's key."""
        if not self.nums and not self.names:
            return fun, args, kwargs, ()
        places = {i % len(args) for i in self.nums if -len(args) <= i < len(args)}
        static_args = {i: args[i] for i in sorted(places)}
        static_kwargs = {k: kwargs[k] for k in self.names if k in kwargs}

        def bound(*dynamic: Any, **dynamic_kwargs: Any) -> Any:
            rest = iter(dynamic)
            full = [static_args[i] if i in static_args else next(rest) for i in range(len(args))]
            return fun(*full, **dynamic_kwargs, **static_kwargs)

        dynamic = tuple(x for i, x in enumerate(args) if i not in places)
        dynamic_kwargs = {k: v for k, v in kwargs.items() if k not in static_kwargs}
        values = (*static_args.items(), *static_kwargs.items())
        key = tuple((where, self._key(where, value)) for where, value in values)
        return bound, dynamic, dynamic_kwargs, key

    def _key(self, where: int | str, value: Any) -> Hashable:
        try:
            hash(value)
        except TypeError:
            raise UnhashableStaticError(
                f"{self.name}: the static argument {where!r} is {value!r} of type "
                f"{type(value).__name__}, which cannot be hashed",
                mend="pass a tuple or another hashable value, or make the argument dynamic",
            ) from None
        return exact_key(value)


def exact_key(value: Any) -> Hashable:
    """A key that tells apart what Python takes for equal: 1, 1.0 and True, 0.0 and -0.0."""
    if isinstance(value, tuple):
        return type(value), tuple(map(exact_key, value))
    return (
        (type(value), repr(value)) if isinstance(value, float | complex) else (type(value), value)
    )
