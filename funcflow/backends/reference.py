"""The reference backend: evaluates a jaxpr with NumPy, equation by equation.

It is the oracle for the compiled backends, and what `jit` runs where no other is chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from funcflow.backends.explain import Explanation, donation_facts, explain
from funcflow.backends.pipeline import lower
from funcflow.backends.program import HostCall, Program, Step, View, dense_view
from funcflow.core.array import own
from funcflow.core.aval import ShapedArray
from funcflow.core.backend import Donations, Memory
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import Atom, ClosedJaxpr
from funcflow.core.trace import EVAL, under


class ReferenceExecutable:
    """A jaxpr that evaluates itself."""

    def __init__(self, closed: ClosedJaxpr) -> None:
        self.closed = closed

    def __call__(self, *buffers: Any) -> Sequence[Any]:
        return own(under(EVAL, eval_buffers, self.closed, buffers), buffers)

    def memory(self) -> Memory:
        """Without temporaries: NumPy makes and frees them as it goes."""

        def nbytes(avals: Sequence[ShapedArray]) -> int:
            return sum(a.size * a.dtype.itemsize for a in avals)

        return Memory(nbytes(self.closed.in_avals), nbytes(self.closed.out_avals))

    def donations(self, arguments: Sequence[int]) -> Donations:
        return Donations({}, dict.fromkeys(arguments, "the reference backend writes to new memory"))

    def call_with(self, buffers: Sequence[Any], taken: Mapping[int, int]) -> Sequence[Any]:
        assert not taken
        return self(*buffers)

    def direct(self, leaves: Sequence[Any]) -> None:
        return None

    def sole_view(self, buffer: Any) -> bool:
        return False


class ReferenceBackend:
    """Compiles by doing nothing more than the passes do."""

    name = "reference"

    def lower(self, jaxpr: ClosedJaxpr) -> dict[str, ClosedJaxpr]:
        return lower(jaxpr)

    def compile(self, jaxpr: ClosedJaxpr) -> ReferenceExecutable:
        return ReferenceExecutable(jaxpr)

    def kernels_compiled(self) -> int:
        return 0


class ReferenceInspector:
    """Shows that there is not much to see."""

    def texts(self, jaxpr: ClosedJaxpr) -> Mapping[str, Callable[[], str]]:
        return {}

    def explain(
        self,
        jaxpr: ClosedJaxpr,
        title: str,
        buffers: Sequence[Any] | None,
        donated: Mapping[int, str],
    ) -> Explanation:
        """One host step for each equation."""
        steps = [
            Step(
                HostCall(eqn, _REASON),
                _views(eqn.invars),
                _views(eqn.outvars),
                eqns=(eqn,),
                note=_REASON,
            )
            for eqn in jaxpr.jaxpr.eqns
        ]
        program = Program([], [], [], steps)
        executable = ReferenceExecutable(jaxpr)
        given = donation_facts(executable.donations(list(donated)), donated)
        return explain(program, title, executable.memory(), None, given)

    def text(self, executable: ReferenceExecutable) -> str:
        return str(executable.closed)


_REASON = "the reference backend runs NumPy"


def _views(atoms: Sequence[Atom]) -> tuple[View, ...]:
    """Views like the values that an equation reads or writes."""
    return tuple(dense_view("temporary", v.aval.shape, v.aval.dtype) for v in atoms)
