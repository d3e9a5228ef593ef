"""The stages of a jitted function for one signature: traced, lowered, compiled."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from funcflow.core.array import as_buffer, aval_of, is_array_like, wrap
from funcflow.core.aval import ShapeDtypeStruct
from funcflow.core.backend import Executable, Explanation, Memory, get_inspector
from funcflow.core.config import config
from funcflow.core.errors import ArgumentError
from funcflow.core.executables import compiled, lowered_stages
from funcflow.core.flatten import argument_names, flatten_arguments
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.pytree import PyTreeDef
from funcflow.core.rewrite import constants_to_arguments
from funcflow.transforms.donation import Donation


class Traced:
    """A function traced for one signature."""

    def __init__(
        self,
        name: str,
        jaxpr: ClosedJaxpr,
        in_tree: PyTreeDef,
        out_tree: PyTreeDef,
        donated: Sequence[int] = (),
        strict: bool = False,
    ) -> None:
        self.name = name
        self.jaxpr = jaxpr
        self.in_tree = in_tree
        self.out_tree = out_tree
        self.donated = tuple(donated)
        self.strict = strict

    @property
    def out_info(self) -> Any:
        """The result's tree with shapes and dtypes for leaves."""
        leaves = [ShapeDtypeStruct(a.shape, a.dtype, a.weak_type) for a in self.jaxpr.out_avals]
        return self.out_tree.unflatten(leaves)

    def lower(self) -> "Lowered":
        """The program as the backend gets it."""
        return Lowered(self, lowered_stages(self.jaxpr))


class Lowered:
    """A traced function after the backend's passes, ready to compile."""

    def __init__(self, traced: Traced, stages: Mapping[str, ClosedJaxpr]) -> None:
        self.traced = traced
        self.stages = {"traced": traced.jaxpr, **stages}
        self.jaxpr = list(self.stages.values())[-1]
        self.in_tree, self.out_tree, self.out_info = (
            traced.in_tree,
            traced.out_tree,
            traced.out_info,
        )

    def as_text(self, stage: str | None = None) -> str:
        """The program at a stage, by default after the last pass of this object's own.

        The stages are "traced", the passes by their names, then those of the backend: on the CPU
        the passes that follow the inlining of calls, "fusion", "program" (the steps), "kernels"
        (their loops), "llvm" and "source" (the same as Python functions).
        """
        if stage is None:
            return str(self.jaxpr)
        if stage in self.stages:
            return str(self.stages[stage])
        texts = get_inspector(config.backend).texts(self._closed)
        if stage not in texts:
            known = ", ".join([*self.stages, *texts])
            raise ArgumentError(f"as_text: there is no stage {stage!r}", mend=f"use one of {known}")
        return texts[stage]()

    @property
    def _closed(self) -> ClosedJaxpr:
        """The program as it is compiled: captured arrays are arguments."""
        return ClosedJaxpr(constants_to_arguments(self.jaxpr.jaxpr))

    def compile(self) -> "Compiled":
        """The executable."""
        executable = compiled(self._closed, lambda: f"{self.traced.name}, by lower().compile()")
        return Compiled(self, executable)

    def memory(self) -> Memory:
        """The bytes that a call needs, known before it runs.

        The peak counts what all steps share; what Python's steps (see `explain`) and libraries
        need for themselves comes on top, and so do the tapes of loops whose length is not known.

        Example:
            >>> ff.jit(lambda x: fnp.sin(x) * 2).lower(fnp.ones(1000)).memory().peak
            8000
        """
        executable = self.compile().executable
        memory = executable.memory()
        captured = len(self.jaxpr.consts)
        takes = executable.donations([captured + i for i in self.traced.donated]).takes
        avals = self.jaxpr.out_avals
        donated = sum(avals[result].size * avals[result].dtype.itemsize for result in takes)
        return replace(memory, donated=donated)

    def explain(self, *leaves: Any) -> Explanation:
        """What the compiled program does; timed on the leaves of arguments, if they are arrays."""
        buffers = None
        if all(map(is_array_like, leaves)) and len(leaves) == len(self.jaxpr.in_avals):
            buffers = [as_buffer(x) for x in (*self.jaxpr.consts, *leaves)]
        names, captured = argument_names(self.in_tree), len(self.jaxpr.consts)
        donated = {captured + i: names[i] for i in self.traced.donated}
        title = f"jit of {self.traced.name}"
        return get_inspector(config.backend).explain(self._closed, title, buffers, donated)


class Compiled:
    """A compiled function for one signature; call it with arguments of that signature."""

    def __init__(self, lowered: Lowered, executable: Executable) -> None:
        self.lowered = lowered
        self.executable = executable
        self._donation = None
        if (traced := lowered.traced).donated:
            captured = len(lowered.jaxpr.consts)
            self._donation = Donation.of(
                traced.name, executable, captured, traced.donated, traced.in_tree, traced.strict
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, in_tree = flatten_arguments(self.lowered.traced.name, args, kwargs)
        expected = self.lowered.jaxpr.in_avals
        got = [aval_of(x) for x in leaves]
        if in_tree != self.lowered.in_tree or [(a.shape, a.dtype) for a in got] != [
            (a.shape, a.dtype) for a in expected
        ]:
            raise ArgumentError(
                f"{self.lowered.traced.name}: compiled for {', '.join(map(str, expected))}, "
                f"called with {', '.join(map(str, got))}",
                mend="call the jitted function, which compiles for each signature",
            )
        buffers = [as_buffer(x) for x in (*self.lowered.jaxpr.consts, *leaves)]
        if self._donation is None:
            outs = self.executable(*buffers)
        else:
            outs = self._donation.run(self.executable, buffers, leaves)
        avals = self.lowered.jaxpr.out_avals
        results = [wrap(x, a.weak_type) for x, a in zip(outs, avals, strict=True)]
        return self.lowered.out_tree.unflatten(results)

    def as_text(self) -> str:
        """The compiled program as the backend shows it."""
        return get_inspector(config.backend).text(self.executable)
