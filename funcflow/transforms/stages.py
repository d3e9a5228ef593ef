"""The stages of a jitted function for one signature: traced, lowered, compiled."""

from collections.abc import Mapping
from typing import Any

from funcflow.core.array import as_buffer, aval_of, wrap
from funcflow.core.aval import ShapeDtypeStruct
from funcflow.core.backend import Executable
from funcflow.core.errors import ArgumentError
from funcflow.core.flatten import flatten_arguments
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.pytree import PyTreeDef
from funcflow.core.rewrite import constants_to_arguments
from funcflow.transforms.executables import compiled, lowered_stages


class Traced:
    """A function traced for one signature."""

    def __init__(self, name: str, jaxpr: ClosedJaxpr, in_tree: PyTreeDef, out_tree: PyTreeDef):
        self.name = name
        self.jaxpr = jaxpr
        self.in_tree = in_tree
        self.out_tree = out_tree

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
        """The program at a stage: "traced", or after the pass of that name; by default the last."""
        if stage is None:
            return str(self.jaxpr)
        if stage not in self.stages:
            raise ArgumentError(
                f"as_text: there is no stage {stage!r}", mend=f"use one of {', '.join(self.stages)}"
            )
        return str(self.stages[stage])

    def compile(self) -> "Compiled":
        """The executable."""
        return Compiled(self, compiled(ClosedJaxpr(constants_to_arguments(self.jaxpr.jaxpr))))


class Compiled:
    """A compiled function for one signature; call it with arguments of that signature."""

    def __init__(self, lowered: Lowered, executable: Executable) -> None:
        self.lowered = lowered
        self.executable = executable

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
        outs = self.executable(*map(as_buffer, (*self.lowered.jaxpr.consts, *leaves)))
        avals = self.lowered.jaxpr.out_avals
        results = [wrap(x, a.weak_type) for x, a in zip(outs, avals, strict=True)]
        return self.lowered.out_tree.unflatten(results)

    def as_text(self) -> str:
        """The compiled program as the backend shows it."""
        return self.executable.as_text()
