"""The reference backend: evaluates a jaxpr with NumPy, equation by equation.

It is the oracle for the compiled backends, and what `jit` runs where no other is chosen.
"""

from collections.abc import Sequence
from typing import Any

from funcflow.backends.pipeline import lower
from funcflow.core.array import own
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.trace import EVAL, under


class ReferenceExecutable:
    """A jaxpr that evaluates itself."""

    def __init__(self, closed: ClosedJaxpr) -> None:
        self.closed = closed

    def __call__(self, *buffers: Any) -> Sequence[Any]:
        return own(under(EVAL, eval_buffers, self.closed, buffers), buffers)

    def as_text(self) -> str:
        return str(self.closed)


class ReferenceBackend:
    """Compiles by doing nothing more than the passes do."""

    name = "reference"

    def lower(self, jaxpr: ClosedJaxpr) -> dict[str, ClosedJaxpr]:
        return lower(jaxpr)

    def compile(self, jaxpr: ClosedJaxpr) -> ReferenceExecutable:
        return ReferenceExecutable(jaxpr)
