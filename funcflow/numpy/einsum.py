"""Einstein summation: any sum of products, written with a letter for each axis.

The operands are contracted in pairs, each pair by one `lax.dot_general`, in an order that keeps
the work small. What each contraction leaves is kept in the order in which it comes out, so that
axes are transposed once, at the end.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.numpy.diagonals import diagonal
from funcflow.numpy.promotion import as_array, promote, refuse_out

Label = Hashable
Labels = tuple[Label, ...]
Path = tuple[tuple[int, ...], ...]

_EXHAUSTIVE = 6  # up to so many operands, all orders are compared


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    out: None = None,
    optimize: Any = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """Sums of products of arrays, with a letter for each axis.

    Args:
        subscripts: the letters of each operand's axes, separated by commas, and after "->" those
            of the result. Letters that the result lacks are summed over; a letter that an operand
            has twice means its diagonal; "..." stands for further axes, which broadcast. Without
            "->" the result has the letters that occur once, in alphabetical order. Instead of
            one string, each operand may be followed by a list of integers for its axes.
        operands: arrays.
        out: not supported.
        optimize: in which order to contract several operands: "auto", "greedy", "optimal", False
            (from the left), or a list of pairs of positions.
        precision: see `lax.Precision`.
        preferred_element_type: see `lax.dot_general`.

    Raises:
        ArgumentError: the subscripts cannot be understood.
        ShapeError: the shapes do not fit them.

    Example:
        >>> x, y = fnp.ones((5, 2, 3)), fnp.ones((5, 4, 3))
        >>> fnp.einsum("bik,bjk->bij", x, y).shape
        (5, 2, 4)
    """
    refuse_out("einsum", out)
    text, arrays = _as_text(subscripts, operands)
    terms = [as_array("einsum", x) for x in promote("einsum", *arrays)]
    inputs, output = _parse(text, tuple(x.ndim for x in terms))
    sizes = _sizes(inputs, [x.shape for x in terms])
    prepared = [_simplified(x, labels, sizes) for x, labels in zip(terms, inputs, strict=True)]
    path = _path(tuple(labels for _, labels in prepared), output, tuple(sizes.items()), optimize)

    def multiply(lhs: Array, rhs: Array, numbers: Any) -> Array:
        return lax.dot_general(lhs, rhs, numbers, precision, preferred_element_type)

    result = _contract_all(prepared, output, path, multiply)
    if preferred_element_type is not None:
        result = lax.convert_element_type(result, preferred_element_type)
    return result


# --- notation -------------------------------------------------------------------------------


def _as_text(subscripts: Any, operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """The subscripts as a string, and the operands."""
    if isinstance(subscripts, str):
        return subscripts.replace(" ", ""), list(operands)
    items = [subscripts, *operands]
    arrays, lists = items[0 : len(items) - 1 : 2], items[1::2]
    text = ",".join(map(_letters, lists))
    return (text + "->" + _letters(items[-1]) if len(items) % 2 else text), arrays


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _letters(axes: Any) -> str:
    try:
        return "".join("..." if i is Ellipsis else _ALPHABET[int(i)] for i in axes)
    except (TypeError, ValueError, IndexError):
        raise ArgumentError(
            f"einsum: {axes!r} does not name axes",
            mend="after each operand pass a list of integers below 52, or Ellipsis",
        ) from None


@lru_cache(maxsize=1024)
def _parse(text: str, ndims: tuple[int, ...]) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of each operand's axes and of the result's."""
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ArgumentError(
            f"einsum: {text!r} is for {len(terms)} operands, got {len(ndims)}",
            mend="separate the operands' subscripts by commas",
        )
    inputs = tuple(_labels(text, term, ndim) for term, ndim in zip(terms, ndims, strict=True))
    hidden = max((sum(isinstance(x, int) for x in labels) for labels in inputs), default=0)
    ellipsis: Labels = tuple(range(-hidden, 0))
    if not arrow:
        letters = [x for labels in inputs for x in labels if isinstance(x, str)]
        once = sorted(x for x in set(letters) if letters.count(x) == 1)
        return inputs, (*ellipsis, *once)
    head, dots, tail = right.partition("...")
    output: Labels = (*head, *(ellipsis if dots else ()), *tail)
    known = {x for labels in inputs for x in labels}
    if hidden and not dots:
        raise ArgumentError(
            f"einsum: the result of {text!r} lacks the axes of '...'",
            mend="write '...' after '->' too, or sum over these axes with letters of their own",
        )
    if len(set(output)) != len(output) or not known.issuperset(output):
        raise ArgumentError(
            f"einsum: the result's subscripts {right!r} in {text!r} must be letters of the "
            "operands, each once",
            mend="see the examples of fnp.einsum",
        )
    return inputs, output


def _labels(text: str, term: str, ndim: int) -> Labels:
    """A label for each axis: letters, and negative numbers, counted from the right, for '...'."""
    head, dots, tail = term.partition("...")
    named = head + tail
    if named and not (named.isascii() and named.isalpha()):
        raise ArgumentError(
            f"einsum: {term!r} in {text!r} is no list of letters", mend="use letters and '...'"
        )
    hidden = ndim - len(named)
    if hidden < 0 or (hidden and not dots):
        raise ShapeError(
            f"einsum: {term!r} in {text!r} names {len(named)} axes of an operand that has {ndim}",
            mend="name each axis, or write '...'",
        )
    return (*head, *range(-hidden, 0), *tail)


def _sizes(inputs: Sequence[Labels], shapes: Sequence[tuple[int, ...]]) -> dict[Label, int]:
    """The extent of each label; extents of 1 broadcast."""
    sizes: dict[Label, int] = {}
    for labels, shape in zip(inputs, shapes, strict=True):
        for label, extent in zip(labels, shape, strict=True):
            known = sizes.get(label, 1)
            if known != 1 and extent not in (1, known):
                raise ShapeError(
                    f"einsum: the axes named {label!r} have extents {known} and {extent}",
                    mend="give axes of one extent the same letter",
                )
            sizes[label] = extent if known == 1 else known
    return sizes


# --- one operand ----------------------------------------------------------------------------


def _simplified(x: Array, labels: Labels, sizes: dict[Label, int]) -> tuple[Array, Labels]:
    """An operand that has each label once, and none that would have to broadcast."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            x = diagonal(x, 0, first, second)
            labels = (*(y for i, y in enumerate(labels) if i not in (first, second)), label)
    short = [i for i, y in enumerate(labels) if x.shape[i] == 1 and sizes[y] != 1]
    return lax.squeeze(x, short), tuple(y for i, y in enumerate(labels) if i not in short)


def _summed(x: Array, labels: Labels, keep: set[Label]) -> tuple[Array, Labels]:
    """Sum over the axes that nothing else needs."""
    axes = [i for i, label in enumerate(labels) if label not in keep]
    return lax.reduce_sum(x, axes), tuple(label for label in labels if label in keep)


# --- contraction ----------------------------------------------------------------------------


def _contract_all(
    terms: list[tuple[Array, Labels]], output: Labels, path: Path, multiply: Callable[..., Array]
) -> Array:
    for positions in path:
        picked = [terms[i] for i in positions]
        terms = [term for i, term in enumerate(terms) if i not in positions]
        x, labels = picked[0]
        for k, (y, others) in enumerate(picked[1:], 2):
            needed = {*output, *(z for _, rest in (*terms, *picked[k:]) for z in rest)}
            goal = output if not terms and k == len(picked) else None
            x, labels = _contract(x, labels, y, others, needed, goal, multiply)
        terms.append((x, labels))
    ((x, labels),) = terms
    x, labels = _summed(x, labels, set(output))
    return lax.transpose(x, [labels.index(label) for label in output])


def _contract(
    x: Array,
    a: Labels,
    y: Array,
    b: Labels,
    needed: set[Label],
    goal: Labels | None,
    multiply: Callable[..., Array],
) -> tuple[Array, Labels]:
    """The product of two operands, summed over what is not needed any more."""
    x, a = _summed(x, a, needed | set(b))
    y, b = _summed(y, b, needed | set(a))
    contracted = [label for label in a if label in b and label not in needed]
    if not contracted:
        return _multiplied(x, a, y, b, goal)
    batch = [label for label in goal or a if label in a and label in b and label in needed]
    ours = [label for label in a if label not in batch and label not in contracted]
    theirs = [label for label in b if label not in batch and label not in contracted]
    if goal is not None and (*batch, *theirs, *ours) == goal:
        x, a, ours, y, b, theirs = y, b, theirs, x, a, ours
    numbers = (
        (_places(a, contracted), _places(b, contracted)),
        (_places(a, batch), _places(b, batch)),
    )
    return multiply(x, y, numbers), (*batch, *ours, *theirs)


def _places(labels: Labels, wanted: Sequence[Label]) -> tuple[int, ...]:
    return tuple(labels.index(label) for label in wanted)


def _multiplied(
    x: Array, a: Labels, y: Array, b: Labels, goal: Labels | None
) -> tuple[Array, Labels]:
    """A product without sum: elementwise, with the axes aligned."""
    order = goal or (*a, *(label for label in b if label not in a))
    order = tuple(label for label in order if label in a or label in b)
    aligned = (_aligned(z, labels, order) for z, labels in ((x, a), (y, b)))
    return lax.mul(*aligned), order


def _aligned(x: Array, labels: Labels, order: Labels) -> Array:
    x = lax.transpose(x, _places(labels, [label for label in order if label in labels]))
    return lax.expand_dims(x, [i for i, label in enumerate(order) if label not in labels])


# --- the order of contractions --------------------------------------------------------------


@lru_cache(maxsize=1024)
def _known_path(
    inputs: tuple[Labels, ...], output: Labels, sizes: tuple[tuple[Label, int], ...], optimize: Any
) -> Path:
    count = len(inputs)
    if count < 2:
        return ()
    if count == 2 or optimize is False:
        # the result of a step comes last, so it is met again in the next one
        return ((0, 1), *((0, count - 1 - k) for k in range(1, count - 1)))
    extents = dict(sizes)
    sets = [frozenset(labels) for labels in inputs]
    if (optimize in ("auto", True) and count <= _EXHAUSTIVE) or optimize == "optimal":
        return _optimal_path(sets, frozenset(output), extents)
    return _greedy_path(sets, frozenset(output), extents)


def _path(inputs: Any, output: Labels, sizes: Any, optimize: Any) -> Path:
    """Which operands to contract in each step; the result of a step is put last."""
    if isinstance(optimize, list | tuple):
        steps = [tuple(step) for step in optimize if step != "einsum_path"]
        count = len(inputs)
        for step in steps:
            if not step or len(set(step)) != len(step) or not all(0 <= i < count for i in step):
                raise ArgumentError(
                    f"einsum: the step {step} of optimize does not fit {count} operands",
                    mend="use the path that fnp.einsum_path returns",
                )
            count -= len(step) - 1
        return (*steps, *([tuple(range(count))] if count > 1 else []))
    if optimize not in ("auto", "greedy", "optimal", True, False):
        raise ArgumentError(
            f"einsum: optimize={optimize!r}", mend="use 'auto', 'greedy', 'optimal' or False"
        )
    return _known_path(inputs, output, sizes, optimize)


def _size_of(labels: frozenset[Label], extents: dict[Label, int]) -> int:
    return prod(extents[label] for label in labels)


def _greedy_path(
    sets: Sequence[frozenset[Label]], output: frozenset[Label], extents: dict[Label, int]
) -> Path:
    """At each step contract the pair that makes the memory grow least (or shrink most)."""
    terms = list(sets)
    path = []
    while len(terms) > 1:
        best: Any = None
        for j in range(len(terms)):
            for i in range(j):
                others = [t for k, t in enumerate(terms) if k not in (i, j)]
                kept = (terms[i] | terms[j]) & output.union(*others)
                growth = _size_of(kept, extents) - sum(_size_of(terms[k], extents) for k in (i, j))
                rank = (growth, _size_of(terms[i] | terms[j], extents))
                if best is None or rank < best[0]:
                    best = rank, (i, j), kept, others
        path.append(best[1])
        terms = [*best[3], best[2]]
    return tuple(path)


def _optimal_path(
    sets: Sequence[frozenset[Label]], output: frozenset[Label], extents: dict[Label, int]
) -> Path:
    """The order with the fewest multiplications: for each subset the best way to split it."""
    count = len(sets)
    whole = (1 << count) - 1

    def kept(subset: int) -> frozenset[Label]:
        inside = frozenset().union(*(s for i, s in enumerate(sets) if subset >> i & 1))
        outside = output.union(*(s for i, s in enumerate(sets) if not subset >> i & 1))
        return inside & outside

    remaining = [kept(subset) for subset in range(whole + 1)]
    cost: dict[int, tuple[int, int]] = {1 << i: (0, 0) for i in range(count)}
    for subset in range(1, whole + 1):
        if subset in cost:
            continue
        best: tuple[int, int] | None = None
        part = (subset - 1) & subset
        while part > subset ^ part:  # each split once
            rest = subset ^ part
            work = _size_of(remaining[part] | remaining[rest], extents)
            total = cost[part][0] + cost[rest][0] + work
            if best is None or total < best[0]:
                best = (total, part)
            part = (part - 1) & subset
        assert best is not None
        cost[subset] = best
    return _steps(whole, cost, count)


def _steps(whole: int, cost: dict[int, tuple[int, int]], count: int) -> Path:
    """The splits of an optimal order as steps by position."""
    terms = [1 << i for i in range(count)]
    path: list[tuple[int, ...]] = []

    def contract(subset: int) -> None:
        if subset in terms:
            return
        part = cost[subset][1]
        contract(part)
        contract(subset ^ part)
        pair = tuple(sorted((terms.index(part), terms.index(subset ^ part))))
        path.append(pair)
        terms[:] = [t for i, t in enumerate(terms) if i not in pair] + [subset]

    contract(whole)
    return tuple(path)


def einsum_path(
    subscripts: Any, /, *operands: Any, optimize: Any = "auto"
) -> tuple[list[tuple[int, ...]], str]:
    """The order in which `einsum` would contract the operands, and a text that describes it.

    Returns:
        For each step the positions of the operands it takes; its result is put last. And the
        steps in subscripts, with the number of multiplications of each.
    """
    text, arrays = _as_text(subscripts, operands)
    shapes = [np.shape(x) for x in arrays]
    inputs, output = _parse(text, tuple(map(len, shapes)))
    sizes = _sizes(inputs, shapes)
    path = _path(inputs, output, tuple(sizes.items()), optimize)
    terms = [tuple(dict.fromkeys(labels)) for labels in inputs]
    lines = [f"Complete contraction: {text}", "multiplications  step"]
    for step in path:
        picked = [terms[i] for i in step]
        terms = [term for i, term in enumerate(terms) if i not in step]
        needed = {*output, *(label for term in terms for label in term)}
        joined = tuple(dict.fromkeys(label for term in picked for label in term))
        terms.append(tuple(label for label in joined if label in needed))
        work = _size_of(frozenset(joined), sizes)
        names = ",".join(map(_name, picked))
        lines.append(f"{work:15d}  {names}->{_name(terms[-1])}")
    return list(path), "\n".join(lines)


def _name(labels: Labels) -> str:
    return "".join(x if isinstance(x, str) else f"<{x}>" for x in labels)
