"""What all loops share: where they begin and end, and what is around the code inside."""

from dataclasses import dataclass

from funcflow.backends.loop_ir import Guard, Statement, Value
from funcflow.backends.numba.llvm_memory import Memory
from funcflow.backends.numba.llvm_values import Frame, lane_numbers

# Tells the code generator which blocks to move out of the way, and to take registers from.
RARE = '!0 = !{!"branch_weights", i32 1, i32 2000}'


@dataclass(frozen=True)
class Collecting:
    """A guard whose lanes are collected, and where the block of lanes begins."""

    guard: Guard
    base: str


class Loops(Memory):
    """Opens and closes loops.

    Attributes:
        collecting: what the vector loop around collects lanes for, if it does.
    """

    collecting: Collecting | None = None

    def region(self, body: tuple[Statement, ...]) -> None:
        """Prints the statements of a body."""
        raise NotImplementedError

    def bounds(self, axis: int) -> tuple[str, str]:
        """Where a loop over an axis begins and ends."""
        if self.kernel.split and axis == 0:
            return "%lo", "%hi"
        extent = self.parameter(("extent", axis))
        if self.kernel.ragged and axis == 1:
            depth = next(d for d, frame in enumerate(self.frames, 1) if frame.axis == 0)
            blocks, tail = self.parameter(("extent", 0)), self.parameter(("tail",))
            after = self.put(2 * depth, f"add i64 {self.frames[depth - 1].index}, 1")
            last = self.put(2 * depth, f"icmp eq i64 {after}, {blocks}")
            extent = self.put(2 * depth, f"select i1 {last}, i64 {tail}, i64 {extent}")
        return "0", extent

    def enter(self, axis: int, index: str, end: str, before: str, body: str) -> None:
        self.levels += [[], []]
        self.blocks += [before, body]
        self.frames.append(Frame(axis, index, end))

    def leave(self) -> tuple[list[str], list[str]]:
        """The code before the loop, and its body."""
        self.frames.pop()
        body, before = self.levels.pop(), self.levels.pop()
        del self.blocks[-2:]
        return before, body

    def current(self, values: tuple[Value, ...]) -> list[str]:
        return [self.vector(v) if self.lanes > 1 else self.names[v] for v in values]

    def any_lane(self, mask: str, level: int) -> str:
        """Whether a mask holds in any lane."""
        vector = f"<{self.lanes} x i1>"
        symbol = f"@llvm.vector.reduce.or.v{self.lanes}i1"
        self.declares[f"declare i1 {symbol}({vector})"] = None
        return self.put(level, f"call i1 {symbol}({mask})")


def first_lanes(count: str, lanes: int, suffix: object) -> list[str]:
    """Instructions that give `%mask` the first `count` lanes, or all if there are fewer.

    All names end in the suffix.
    """
    t = f"<{lanes} x i32>"
    return [
        f"  %short{suffix} = trunc i64 {count} to i32",
        f"  %one{suffix} = insertelement {t} poison, i32 %short{suffix}, i64 0",
        f"  %lefts{suffix} = shufflevector {t} %one{suffix}, {t} poison, {t} zeroinitializer",
        f"  %mask{suffix} = icmp ugt {t} %lefts{suffix}, {lane_numbers('i32', lanes)}",
    ]


def phis(
    names: list[str], types: list[str], xs: list[str], from_x: str, ys: list[str], from_y: str
) -> list[str]:
    """What becomes `xs` if control comes from the first block, and `ys` if from the second."""
    return [
        f"  {name} = phi {t} [{x}, %{from_x}], [{y}, %{from_y}]"
        for name, t, x, y in zip(names, types, xs, ys, strict=True)
    ]
