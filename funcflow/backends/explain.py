"""What people read of a program: its steps, what they cost, and what was decided against.

Arithmetic counts operations of the jaxpr: one for each element of an elementwise result or of what
is reduced, two for each product that a contraction or convolution sums. Bytes are those that a step
must at least read and write, once each. So the rates say how far a step is from what memory and
processor can do, not what the processor has really done.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from os.path import basename

import numpy as np

from funcflow.backends.loop_ir import Kernel
from funcflow.backends.passes.kinds import IDENTITIES, REDUCTIONS, VIEWS
from funcflow.backends.passes.lanes import Masked
from funcflow.backends.program import Buffer, HostCall, Program, Step, View
from funcflow.core.backend import Donations, Memory, in_bytes
from funcflow.core.dtypes import SHORT_NAME
from funcflow.core.jaxpr import JaxprEqn, Var, subjaxprs
from funcflow.core.source import Source
from funcflow.lax.forms import ELEMENTWISE

WIDTH = 100
_COMPUTES_AT_LEAST = 11
_PLACE = 17  # characters of a file's name and line

_DATA_MOVEMENT = VIEWS | IDENTITIES

# Names of primitives that are too long for a table.
_SHORT = {
    "select_n": "select",
    "convert_element_type": "convert",
    "dot_general": "dot",
    "conv_general_dilated": "conv",
    "broadcast_in_dim": "broadcast",
    "dynamic_slice": "slice",
    "dynamic_update_slice": "update",
}


@dataclass(frozen=True)
class StepReport:
    """One step of a program.

    Attributes:
        number: its place, from 1 on.
        kind: "kernel" (a generated loop nest), "routine" (a library's function, or native code
            written for one operation) or "host" (Python runs it).
        computes: the primitives, in order.
        result: dtypes and shapes of what is written.
        nbytes: read and written.
        flops: operations.
        seconds: the median time of some runs; None if it was not measured.
        source: the user's line that most of its operations come from.
        note: what was decided for it, and why.
    """

    number: int
    kind: str
    computes: tuple[str, ...]
    result: str
    nbytes: int
    flops: int
    seconds: float | None
    source: Source | None
    note: str

    @property
    def is_copy(self) -> bool:
        """Whether it computes nothing."""
        return self.note.startswith("copy")


@dataclass(frozen=True)
class Explanation:
    """A compiled program, explained; `print` it.

    Attributes:
        title: what was compiled.
        steps: a report of each step.
        apart: where a value is stored between two kernels, and why they are not one.
        masked: branches and loops of lanes that run together under a mask, and why.
        memory: what a call needs.
        seconds: the median time of a call; None if it was not measured.
        facts: a name and a text: the threads, the kernels, the disk cache.
        inner: explanations of the bodies of loops and branches that run natively.
    """

    title: str
    steps: Sequence[StepReport]
    apart: Sequence[str]
    masked: Sequence[str]
    memory: Memory
    seconds: float | None
    facts: Sequence[tuple[str, str]]
    inner: "Sequence[Explanation]" = ()

    def __str__(self) -> str:
        sections = [*self._tables()]
        facts = [("memory", str(self.memory)), *self.facts]
        width = max(len(name) for name, _ in facts)
        sections.append("\n".join(f"{name:{width}}  {text}" for name, text in facts))
        return "\n\n".join(sections)

    def _tables(self) -> Iterator[str]:
        """The steps and what is to be said of them; then those of bodies."""
        yield _table(self)
        for heading, lines in self._sections():
            if lines:
                yield "\n".join([heading, *(f"  {line}" for line in lines)])
        for body in self.inner:
            yield from body._tables()

    def _sections(self) -> Iterator[tuple[str, list[str]]]:
        def notes(chosen: Callable[[StepReport], bool]) -> list[str]:
            return [f"{s.number:>3}  {s.note}" for s in self.steps if s.note and chosen(s)]

        yield "Python runs:", notes(lambda s: s.kind == "host")
        yield "Libraries and native code:", notes(lambda s: s.kind != "host" and not s.is_copy)
        yield "Copies:", notes(lambda s: s.is_copy)
        yield "Stored between kernels:", list(self.apart)
        yield "Under a mask:", list(self.masked)


def explain(
    program: Program,
    title: str,
    memory: Memory,
    timings: "Sequence[Sequence[float]] | None",
    facts: Sequence[tuple[str, str]],
) -> Explanation:
    """The explanation of a program.

    Args:
        program: what is explained.
        title: its first words.
        memory: what a call needs.
        timings: the times of some runs, in seconds: one for each step, and the whole call's.
        facts: what else is to be said, by name.
    """
    seconds = [float(np.median(times)) for times in zip(*timings, strict=True)] if timings else None
    shared = Counter(e for step in program.steps if not _only_moves(step) for e in step.eqns)
    steps = [
        _report(number, step, shared, seconds[number - 1] if seconds else None)
        for number, step in enumerate(program.steps, 1)
    ]
    call = seconds[-1] if seconds else None
    inner = list(_bodies(program, title))
    decided = _stored_between(program), _masked(program)
    return Explanation(title, steps, *decided, memory, call, facts, inner)


def _bodies(program: Program, title: str) -> Iterator[Explanation]:
    """The explanations of what steps run as their bodies."""
    for number, step in enumerate(program.steps, 1):
        names = ", ".join(dict.fromkeys(eqn.primitive.name for eqn in step.eqns))
        for body in step.resources:
            inner = getattr(body, "program", None)
            if isinstance(inner, Program):
                head = f"inside step {number} ({names}) of {title}"
                yield explain(inner, head, body.memory(), None, [])


def donation_facts(donations: Donations, names: Mapping[int, str]) -> list[tuple[str, str]]:
    """For each donated argument, whether its memory becomes a result's, and why not."""
    taken = {argument: result for result, argument in donations.takes.items()}
    return [
        (
            f"donated {name}",
            f"becomes result {taken[a]}, if nobody else sees its memory"
            if a in taken
            else f"in vain: {donations.refused[a]}",
        )
        for a, name in names.items()
    ]


def _report(
    number: int, step: Step, shared: Mapping[JaxprEqn, int], seconds: float | None
) -> StepReport:
    return StepReport(
        number,
        _kind(step),
        _computes(step),
        ", ".join(map(_typed, step.writes)),
        step.bytes_moved,
        0 if _only_moves(step) else sum(flops(eqn) // shared[eqn] for eqn in step.eqns),
        seconds,
        source_of(step),
        _note(step),
    )


def _note(step: Step) -> str:
    if step.note != "copy":
        return step.note
    names = dict.fromkeys(eqn.primitive.name for eqn in step.eqns)
    return f"copy: for {', '.join(names)}" if names else "copy"


def _only_moves(step: Step) -> bool:
    """Whether a step leaves the equation's arithmetic to others."""
    return step.note.startswith("copy") or step.note.endswith("reorder")


def _kind(step: Step) -> str:
    if isinstance(step.work, HostCall):
        return "host"
    return "kernel" if isinstance(step.work, Kernel) else "routine"


def _computes(step: Step) -> tuple[str, ...]:
    names = [_short(eqn.primitive.name) for eqn in step.eqns]
    if step.note.startswith("copy"):
        return ("copy", *(f"for {name}" for name in names if name != "copy"))
    computed = [
        _short(e.primitive.name) for e in step.eqns if e.primitive.name not in _DATA_MOVEMENT
    ]
    return tuple(computed or names)


def _short(name: str) -> str:
    return _SHORT.get(name, name.removeprefix("reduce_"))


def flops(eqn: JaxprEqn) -> int:
    """The arithmetic of an equation, in operations on numbers; of branches, that of the dearest."""
    name = eqn.primitive.name
    if name == "dot_general":
        lhs, out = eqn.invars[0].aval, eqn.outvars[0].aval
        (contracted, _), _ = eqn.params["dimension_numbers"]
        return 2 * out.size * prod(lhs.shape[i] for i in contracted)
    if name == "conv_general_dilated":
        kernel, out = eqn.invars[1].aval, eqn.outvars[0].aval
        _, (_, *summed), _ = eqn.params["dimension_numbers"]
        return 2 * out.size * prod(kernel.shape[i] for i in summed)
    if name in REDUCTIONS:
        return eqn.invars[0].aval.size
    if eqn.primitive in ELEMENTWISE and name not in _DATA_MOVEMENT:
        return sum(v.aval.size for v in eqn.outvars)
    if name not in ("while", "reverse_while"):  # of which nobody knows how long they go on
        inner = [sum(map(flops, jaxpr.eqns)) for jaxpr in subjaxprs(eqn)]
        return eqn.params.get("length", 1) * max(inner, default=0)
    return 0


def source_of(step: Step) -> Source | None:
    """The user's line that most of a step's equations come from, the first among equals."""
    lines = Counter(eqn.source for eqn in step.eqns if eqn.source is not None)
    return lines.most_common(1)[0][0] if lines else None


def place_of(source: Source | None) -> str:
    """File and line, without the folder."""
    return f"{basename(source.file)}:{source.line}" if source is not None else ""


# --- what was decided -----------------------------------------------------------------------------


def _stored_between(program: Program) -> list[str]:
    """Why kernels are apart of which one uses the other's result."""
    home = {eqn: number for number, step in enumerate(program.steps, 1) for eqn in step.eqns}
    defined: dict[Var, int] = {v: number for eqn, number in home.items() for v in eqn.outvars}
    lines: dict[str, None] = {}
    for value, eqn, reason in program.apart:
        first, second = defined.get(value), home.get(eqn)
        if first is not None and second is not None and first != second:
            lines[f"{first:>3} -> {second:<3} {value.aval}: {reason}"] = None
    return list(lines)


def _masked(program: Program) -> list[str]:
    """Why lanes run together that decide for themselves."""
    sources = (eqn.source for step in program.steps for eqn in step.eqns if eqn.source is not None)
    pairs = ((source, note) for source in sources for note in source.notes)
    lines = [f"{place_of(source)}  {note}" for source, note in pairs if isinstance(note, Masked)]
    return list(dict.fromkeys(lines))


# --- the table ------------------------------------------------------------------------------------

_HEADINGS = ("#", "kind", "computes", "result", "moved", "flops", "time", "%", "rate", "line")
_MEASURED = frozenset(["time", "%", "rate"])
_RIGHT = _MEASURED | {"#", "moved", "flops"}


def _table(explanation: Explanation) -> str:
    steps = explanation.steps
    total = sum(s.seconds or 0 for s in steps)
    timed = explanation.seconds is not None
    rows = [_cells(step, total) for step in steps]
    computed = [", ".join(_counted(step.computes)) for step in steps]
    columns = [
        number for number, heading in enumerate(_HEADINGS) if timed or heading not in _MEASURED
    ]
    widths = {n: max(len(row[n]) for row in [_HEADINGS, *rows]) for n in columns}
    widths[2] = max(map(len, [_HEADINGS[2], *computed]))
    fixed = sum(widths.values()) - widths[2] + 2 * (len(columns) - 1)
    widths[2] = min(widths[2], max(WIDTH - fixed, _COMPUTES_AT_LEAST))
    lines = [_heading(explanation, total)]
    shown = [_HEADINGS[2], *(_fitting(s.computes, widths[2]) for s in steps)]
    for row, what in zip([_HEADINGS, *rows], shown, strict=True):
        cells = [*row[:2], what, *row[3:]]
        lines.append("  ".join(_aligned(cells[n], n, widths[n]) for n in columns).rstrip())
    return "\n".join(lines)


def _aligned(text: str, column: int, width: int) -> str:
    return text.rjust(width) if _HEADINGS[column] in _RIGHT else text.ljust(width)


def _heading(explanation: Explanation, total: float) -> str:
    count = len(explanation.steps)
    text = f"{explanation.title}: {count} step{'s' * (count != 1)}"
    if explanation.seconds is None:
        return text
    return f"{text}; a call takes {_time(explanation.seconds)}, the steps {_time(total)}"


def _cells(step: StepReport, total: float) -> tuple[str, ...]:
    seconds = step.seconds
    first, *others = step.result.split(", ")
    cells = (
        str(step.number),
        step.kind,
        "",
        f"{first} +{len(others)}" if others else first,
        in_bytes(step.nbytes),
        _number(step.flops) if step.flops else "",
        _time(seconds) if seconds is not None else "",
        f"{100 * seconds / total:.0f}" if seconds is not None and total else "",
        _rate(step),
        _cut_front(place_of(step.source), _PLACE),
    )
    return tuple(c if n in (2, 3) else c.replace(" ", "") for n, c in enumerate(cells))


def _rate(step: StepReport) -> str:
    if not step.seconds or step.seconds < _SHORTEST:
        return ""
    if step.kind == "routine" and step.flops:
        return f"{_number(step.flops / step.seconds)}F/s"
    return f"{in_bytes(step.nbytes / step.seconds)}/s" if step.nbytes else ""


def _counted(names: Sequence[str]) -> list[str]:
    return [f"{n} {name}" if n > 1 else name for name, n in Counter(names).items()]


def _fitting(names: Sequence[str], width: int) -> str:
    """As many of the names as fit, and how many more there are."""
    parts = _counted(names)
    text = ", ".join(parts)
    shown = len(parts)
    while len(text) > width and shown > 1:
        shown -= 1
        text = f"{', '.join(parts[:shown])}, +{len(parts) - shown}"
    return _cut(text, width)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


_SHORTEST = 1e-7  # what is shorter cannot be measured


def _cut_front(text: str, width: int) -> str:
    return text if len(text) <= width else ".." + text[2 - width :]


def _time(seconds: float) -> str:
    if seconds < _SHORTEST:
        return f"<{_SHORTEST * 1e6:.1f} us"
    for factor, unit in ((1e6, "us"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def _number(count: float) -> str:
    """A large number with a letter for the thousands: `1.57 M`."""
    for unit in ("", " k", " M", " G"):
        if count < 999.5:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.3g} T"


# --- the program as text --------------------------------------------------------------------------


def program_text(program: Program) -> str:
    """The steps, one in a line, with names for the buffers: equal programs have equal texts."""
    names = _names(program)

    def shown(view: View) -> str:
        return f"{names[view.buffer]}{_place(view)}"

    lines = [f"{shown(v)}: {_typed(v)} = argument" for v in program.arguments]
    lines += [f"{shown(v)}: {_typed(v)} = constant" for v, _ in program.constants]
    for step in program.steps:
        written = ", ".join(f"{shown(v)}: {_typed(v)}" for v in step.writes)
        read = ", ".join(map(shown, step.reads))
        what = ", ".join(_computes(step))
        note = f"  # {step.note}" if step.note and not step.note.startswith("copy") else ""
        lines.append(f"{written} = {_named(step)}[{what}] {read}".rstrip() + note)
    return "\n".join([*lines, f"return {', '.join(map(shown, program.outputs))}".rstrip()])


def _named(step: Step) -> str:
    work = step.work
    if isinstance(work, HostCall):
        return "host"
    if isinstance(work, Kernel):
        return kernel_name(work)
    return work.name


def kernel_name(kernel: Kernel) -> str:
    """A short name that tells a kernel's text."""
    return f"kernel_{kernel.digest[:6]}"


def _names(program: Program) -> dict[Buffer, str]:
    names: dict[Buffer, str] = {}
    views = [*program.arguments, *(v for v, _ in program.constants)]
    views += [v for step in program.steps for v in (*step.reads, *step.writes)]
    views += program.outputs
    letters = {"argument": "a", "constant": "c", "temporary": "t", "output": "out"}
    counts = Counter[str]()
    for view in views:
        if view.buffer not in names:
            letter = letters[view.buffer.role]
            names[view.buffer] = f"{letter}{counts[letter]}"
            counts[letter] += 1
    return names


def _place(view: View) -> str:
    """Which part of its buffer a view is, if it is not all of it in C order."""
    if view.whole:
        return ""
    strides = ",".join(map(str, view.strides))
    return f"[{view.offset}:{strides}]"


def _typed(view: View) -> str:
    return f"{SHORT_NAME.get(view.dtype, view.dtype.name)}[{','.join(map(str, view.shape))}]"
