"""Primitives: the names of the operations that jaxprs are made of."""

from typing import Any

from funcflow.core.trace import current_trace


class Primitive:
    """An operation that transforms know by name; its meaning is in `core.rules`.

    Parameters must be hashable: they are part of a jaxpr's identity.
    """

    __slots__ = ("multiple_results", "name")

    def __init__(self, name: str, multiple_results: bool = False) -> None:
        self.name = name
        self.multiple_results = multiple_results

    def bind(self, *args: Any, **params: Any) -> Any:
        """Apply the primitive to arrays, whatever the current trace makes of that."""
        return current_trace.get().process(self, args, params)

    def __repr__(self) -> str:
        return self.name
