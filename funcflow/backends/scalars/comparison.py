"""Order and logic of booleans, and choices: `select_n`, `clamp`.

Of two booleans, False is the smaller. What arithmetic and comparisons mean on them is said with
"and", "or", "xor" and "not", so printers need not know how many bits of a boolean count.
"""

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.registry import expansion


def _register(name: str, op: str, negated: str = "") -> None:
    """`name` of booleans is `op`, of the negated first ("x") or second ("y") argument."""

    @expansion(name, "b")
    def logical(build: Builder, x: Value, y: Value) -> Value:
        x = build.let("not", x) if negated == "x" else x
        y = build.let("not", y) if negated == "y" else y
        return build.let(op, x, y)


_register("add", "or")
_register("mul", "and")
_register("max", "or")
_register("min", "and")
_register("ne", "xor")
_register("eq", "xor", "x")
_register("lt", "and", "x")
_register("le", "or", "x")
_register("gt", "and", "y")
_register("ge", "or", "y")


@expansion("select_n")
def select_n(build: Builder, which: Value, *cases: Value) -> Value:
    """The case that `which` names; beyond the ends, the case there."""
    if which.dtype == bool and len(cases) == 2:
        return build.let("select", which, cases[1], cases[0])
    chosen = cases[0]
    for number, case in enumerate(cases[1:], 1):
        reached = build.let("ge", which, build.const(number, which.dtype))
        chosen = build.let("select", reached, case, chosen)
    return chosen


@expansion("clamp", "b")
def clamp_booleans(build: Builder, low: Value, x: Value, high: Value) -> Value:
    """`min(max(x, low), high)`."""
    return build.let("and", build.let("or", x, low), high)


@expansion("clamp")
def clamp(build: Builder, low: Value, x: Value, high: Value) -> Value:
    """`min(max(x, low), high)`."""
    return build.let("min", build.let("max", x, low), high)
