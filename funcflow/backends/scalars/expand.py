"""Replaces what has an expansion, so that a kernel is made of machine operations alone."""

import inspect
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from funcflow.backends.loop_ir import (
    MACHINE_OPS,
    Builder,
    Guard,
    Kernel,
    Let,
    Load,
    Loop,
    Reduction,
    Statement,
    Store,
    Value,
    While,
)
from funcflow.backends.scalars.registry import Expansion, find_expansion, is_widened


def expand(kernel: Kernel, ops: frozenset[str] = MACHINE_OPS) -> Kernel:
    """The same kernel in machine operations: each operation with an expansion is replaced by it.

    A kernel is expanded once: an operation such as the division of integers has an expansion that
    contains a machine operation of the same name.

    Args:
        kernel: the kernel.
        ops: the machine operations: `MACHINE_OPS`, and which of `SPECIAL_OPS` the target has.

    Raises:
        NotImplementedError: an operation is neither a machine operation nor has an expansion.
    """
    return replace(kernel, body=_Region(ops, {}, {}).expanded(kernel.body, inside=False))


class _Region:
    """A body that is being rewritten, and what the rewriting has done to its values."""

    def __init__(
        self,
        ops: frozenset[str],
        renamed: dict[Value, Value],
        shared: dict[Any, tuple[Value, ...]],
    ) -> None:
        self.ops = ops
        self.renamed = renamed  # values of the old body -> those that took their places
        self.shared = shared  # the results of operations that have several
        self.out: list[Statement] = []

    def expanded(self, body: tuple[Statement, ...], *, inside: bool) -> tuple[Statement, ...]:
        """The rewritten body. `inside`: an expansion wrote it."""
        for statement in body:
            self.rewrite(statement, inside)
        return tuple(self.out)

    def rewrite(self, statement: Statement, inside: bool) -> None:
        if isinstance(statement, Let):
            self.let(statement, inside)
        elif isinstance(statement, Loop):
            self.out.append(self.loop(statement))
        elif isinstance(statement, Guard):
            self.out.append(self.guard(statement, inside))
        elif isinstance(statement, While):
            self.out.append(self.while_loop(statement, inside))
        else:
            self.out.append(self.access(statement))

    def now(self, *values: Value) -> tuple[Value, ...]:
        return tuple(self.renamed.get(v, v) for v in values)

    def maybe(self, value: Value | None) -> Value | None:
        return None if value is None else self.renamed.get(value, value)

    def access(self, s: Load | Store) -> Load | Store:
        offset, mask = self.maybe(s.offset), self.maybe(s.mask)
        if isinstance(s, Load):
            return Load(s.out, s.operand, offset, mask)
        return Store(s.operand, self.renamed.get(s.value, s.value), offset, mask)

    def inner(self) -> "_Region":
        """A region in this one; what it computes is not there after it, so it copies the tables."""
        return _Region(self.ops, dict(self.renamed), dict(self.shared))

    def guard(self, guard: Guard, inside: bool) -> Guard:
        region = self.inner()
        body = region.expanded(guard.body, inside=inside)
        (mask,), others = self.now(guard.mask), self.now(*guard.others)
        return Guard(mask, body, region.now(*guard.values), others, guard.results, guard.dear)

    def while_loop(self, loop: While, inside: bool) -> While:
        region, inner = self.inner(), self.inner()
        test = region.expanded(loop.test, inside=inside)
        (goes_on,) = region.now(loop.goes_on)
        body = inner.expanded(loop.body, inside=inside)
        starts, nexts = self.now(*loop.starts), inner.now(*loop.nexts)
        return While(starts, loop.inside, test, goes_on, body, nexts, loop.results)

    def loop(self, loop: Loop) -> Loop:
        region = self.inner()
        body = region.expanded(loop.body, inside=False)
        reductions = tuple(
            Reduction(r.merge, self.now(*r.starts), r.inside, region.now(*r.nexts), r.results)
            for r in loop.reductions
        )
        return Loop(loop.axis, body, loop.lanes, reductions)

    def let(self, let: Let, inside: bool) -> None:
        args = self.now(*let.args)
        dtype = (args[0] if args else let.out).dtype
        function = None if inside and let.op in self.ops else find_expansion(let.op, dtype)
        if function is None:
            if let.op not in self.ops:
                raise NotImplementedError(f"the operation {let.op} on {dtype} has no expansion")
            self.out.append(Let(let.out, let.op, args, let.params))
            return
        widened = is_widened(let.op, dtype)
        if "result" not in let.params:
            (self.renamed[let.out],) = self.call(function, let, args, widened)
            return
        params = {k: v for k, v in let.params.items() if k != "result"}
        key = (let.op, args, tuple(params.items()))
        if key not in self.shared:
            single = Let(let.out, let.op, let.args, params)
            self.shared[key] = self.call(function, single, args, widened)
        self.renamed[let.out] = self.shared[key][let.params["result"]]

    def call(
        self, function: Expansion, let: Let, args: tuple[Value, ...], widened: bool
    ) -> tuple[Value, ...]:
        """The results of an expansion, whose statements are written into this region."""
        build, params, dtype = Builder(), let.params, let.out.dtype
        if widened:
            args = tuple(_converted(build, x, args[0].dtype, np.float32) for x in args)
            dtype = args[0].dtype if dtype == let.args[0].dtype else dtype
        if _takes_dtype(function):
            params = {**params, "dtype": dtype}
        results = function(build, *args, **params)
        results = results if isinstance(results, tuple) else (results,)
        if widened and let.out.dtype == let.args[0].dtype:
            results = tuple(_converted(build, x, np.float32, let.out.dtype) for x in results)
        for statement in build.body:
            self.rewrite(statement, inside=True)
        return self.now(*results)


@cache
def _takes_dtype(function: Expansion) -> bool:
    """Whether an expansion depends on the dtype of the result."""
    return "dtype" in inspect.signature(function).parameters


def _converted(build: Builder, x: Value, from_dtype: Any, to_dtype: Any) -> Value:
    """`x` in another dtype, if it has the first one."""
    return build.let("convert", x, dtype=to_dtype) if x.dtype == from_dtype else x
