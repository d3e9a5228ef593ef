"""Loops that show a bar: cut into pieces, with steps counted between two of them.

A piece is a loop like any other, so it compiles to what it would without a bar. A scan has a
hundred pieces at most, and perhaps a rest. Those of a while loop last about a tenth of a second:
whoever counts the steps of one learns how many the next may take.

Counting belongs to the forward pass, whatever follows from it: derivatives and lanes add none.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.errors import ArgumentError
from funcflow.core.evaluate import eval_closed
from funcflow.core.jaxpr import NO_EFFECTS, ClosedJaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.core.staging import stage_out
from funcflow.lax import progress_bar
from funcflow.lax.bitwise import bitwise_and
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import lt
from funcflow.lax.forms import add
from funcflow.lax.pieces import Run, Stretch, in_pieces, in_stretches, size_without_rest

PIECES = 100
_UNKNOWN = np.int64(-1)

progress_p = Primitive("progress", multiple_results=True)


def check_label(loop: str, progress: Any) -> None:
    """Check the argument `progress` of a loop.

    Raises:
        ArgumentError: it is neither None nor text for one line.
    """
    if progress is not None and not (isinstance(progress, str) and progress.isprintable()):
        raise ArgumentError(
            f"{loop}: progress={progress!r} is no label: it must be a string of one line",
            mend='pass progress="fit", or None for no bar',
        )


def shown(scan: Run, label: str, stretches: Sequence[Stretch]) -> Run:
    """What runs a scan in stretches under a bar; `scan` runs loops over their pieces."""

    def run(
        jaxpr: ClosedJaxpr,
        consts: Sequence[Any],
        carry: Sequence[Any],
        xs: Sequence[Any],
        length: int,
        reverse: bool,
    ) -> list[Any]:
        if not length:
            return scan(jaxpr, consts, carry, xs, length, reverse)
        number, _ = _call("begin", label, np.int64(length))
        counted = [s._replace(run=_counted(scan, label, s, length)) for s in stretches]
        with progress_bar.whole_lines():
            outs = in_stretches(counted)(jaxpr, [number, *consts], carry, xs, length, reverse)
        _call("end", label, number, *_watched(outs))
        return outs

    return run


def _counted(scan: Run, label: str, stretch: Stretch, total: int) -> Run:
    """What runs a stretch of a scan of `total` steps in pieces, and counts the steps of each.

    The first of the constants is the bar's number.
    """
    least = stretch.unit * -(-total // (PIECES * stretch.unit))
    size = size_without_rest(stretch.steps, least, 2 * least, stretch.unit)

    def run(
        jaxpr: ClosedJaxpr,
        consts: Sequence[Any],
        carry: Sequence[Any],
        xs: Sequence[Any],
        length: int,
        reverse: bool,
    ) -> list[Any]:
        def piece(
            consts: Sequence[Any], carry: Sequence[Any], xs: Sequence[Any], steps: int
        ) -> list[Any]:
            number, *others = consts
            outs = stretch.run(jaxpr, others, carry, xs, steps, reverse)
            _call("advance", label, number, np.int64(steps), *_watched(outs))
            return outs

        return in_pieces(scan, piece, size, consts, carry, xs, length, reverse)

    return run


# What runs a while loop, given its condition and its body, the constants of both, and its carry.
WhileRun = Callable[
    [ClosedJaxpr, ClosedJaxpr, Sequence[Any], Sequence[Any], Sequence[Any]], list[Any]
]


def shown_while(loop: WhileRun, label: str, total: Any = _UNKNOWN) -> WhileRun:
    """What runs while loops under a bar; `total` is how many steps one takes, or -1."""

    def run(
        cond: ClosedJaxpr,
        body: ClosedJaxpr,
        cond_consts: Sequence[Any],
        body_consts: Sequence[Any],
        carry: Sequence[Any],
    ) -> list[Any]:
        number, bound = _call("begin", label, total)
        fixed = len(cond_consts), len(cond_consts) + len(body_consts)
        consts = [*cond_consts, *body_consts]

        def may_step(bound: Any, done: Any, going: Any, *_: Any) -> list[Any]:
            return [bitwise_and(going, lt(done, bound))]

        def step(*args: Any) -> list[Any]:
            tested, used = args[: fixed[0]], args[fixed[0] : fixed[1]]
            done, _, *values = args[fixed[1] :]
            values = eval_closed(body, *used, *values)
            return [add(done, np.int32(1)), *eval_closed(cond, *tested, *values), *values]

        def piece(number: Any, *args: Any) -> list[Any]:
            bound, *state = args[fixed[1] :]
            start = [np.int32(0), *state]
            avals = [aval_of(x) for x in (*args[: fixed[1]], *start)]
            test = stage_out(may_step, [aval_of(bound), *avals[fixed[1] :]])
            done, *state = loop(test, stage_out(step, avals), [bound], args[: fixed[1]], start)
            steps = convert_element_type(done, np.dtype("int64"))
            (bound,) = _call("advance", label, number, steps, *_watched(state))
            return [bound, *state]

        (going,) = eval_closed(cond, *cond_consts, *carry)
        start = [bound, going, *carry]
        avals = [aval_of(x) for x in (number, *consts, *start)]
        test = stage_out(lambda _, going, *__: [going], avals[1 + len(consts) :])
        with progress_bar.whole_lines():
            outs = loop(test, stage_out(piece, avals), [], [number, *consts], start)
        _call("end", label, number, *_watched(outs))
        return outs[2:]

    return run


def _watched(values: Sequence[Any]) -> list[Any]:
    """What a call is given so that it waits for the values: the smallest of them."""
    values = [x for x in values if aval_of(x).size]
    return [min(values, key=lambda x: aval_of(x).size)] if values else []


# --- the primitive ----------------------------------------------------------------------------
# "begin" maps the total, or -1, to the bar's number and how many steps may pass before these are
# counted; "advance" maps the number and the steps that passed to the latter; "end" maps the number
# to nothing. Both take what they wait for besides. Each operand may have lanes; there is one result
# for all of them.


def _call(event: str, label: str, *operands: Any) -> list[Any]:
    return progress_p.bind(*operands, event=event, label=label, silent=False)


_RESULTS = {"begin": 2, "advance": 1, "end": 0}


def _abstract(*avals: ShapedArray, event: str, label: str, silent: bool) -> list[ShapedArray]:
    return [ShapedArray((), np.dtype("int32"))] * _RESULTS[event]


def _impl(xp: Any, *buffers: Any, event: str, label: str, silent: bool) -> list[Any]:
    if silent:
        return [np.int32(progress_bar.LONGEST)] * _RESULTS[event]
    first = _farthest(buffers[0])
    with progress_bar.whole_lines():
        if event == "begin":
            number = progress_bar.begin(label, None if first < 0 else first)
            return [np.int32(number), np.int32(1)]
        if event == "advance":
            return [np.int32(progress_bar.advance(first, _farthest(buffers[1])))]
        progress_bar.end(first)
        return []


def _farthest(x: Any) -> int:
    """A number, or the largest of its lanes."""
    return int(x.max() if np.ndim(x) else x)


def _jvp(ctx: Any, primals: Any, tangents: Any, **params: Any) -> Any:
    outs = progress_p.bind(*primals, **params)
    return outs, [Zero(aval_of(x)) for x in outs]


def _transpose(ctx: Any, cts: Any, *args: Any, **_: Any) -> list[Any]:
    """What a call waits for may be linear; nothing follows from it."""
    return [Zero(x.aval) if is_undefined(x) else None for x in args]


def _partial_eval(ctx: Any, unknown: Any, args: Any, *, silent: bool, **params: Any) -> list[Any]:
    """A linear function that is to be transposed runs no forward pass: its bar is not shown."""
    known = [x for x, u in zip(args, unknown, strict=True) if not u]
    return progress_p.bind(*known, silent=True, **params)


def _batch(ctx: Any, args: Any, dims: Any, **params: Any) -> Any:
    """One call for all lanes, which counts the steps of the one that goes farthest."""
    outs = progress_p.bind(*args, **params)
    return outs, [None] * len(outs)


define(
    progress_p,
    abstract=_abstract,
    impl=_impl,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    partial_eval=_partial_eval,
    effects=lambda *, silent, **_: NO_EFFECTS if silent else frozenset({"progress"}),
)
