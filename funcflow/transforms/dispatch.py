"""The short way from a jitted call to its executable, for signatures that are known.

The general way works out abstract values, static arguments and error messages. A call with the
same structure, types, dtypes and shapes as an earlier one needs none of that: its key is put
together from what arrays say of themselves, which takes a microsecond or two. In front of that, the
signature in use has a direct way, which compares instead of asking; native code of the backend
compares arrays, unless some are donated.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np

from funcflow.core.array import ConcreteArray, WeakArray
from funcflow.core.axes import axes_key
from funcflow.core.backend import Executable
from funcflow.core.config import config
from funcflow.core.pytree import PyTreeDef, tree_flatten
from funcflow.core.trace import EVAL, current_trace
from funcflow.transforms.donation import Donation
from funcflow.transforms.tree_walk import ARRAYS, walker

# What runs for a signature: given the arguments' buffers, a list that is used up, and their leaves.
KnownCall: TypeAlias = Callable[[list[Any], Sequence[Any]], Any]
# What tries a signature: given the arguments as they are. None if they have another one.
DirectCall: TypeAlias = Callable[[tuple[Any, ...]], Any]


def known_call(
    executable: Executable,
    constants: tuple[Any, ...],
    results: Callable[[Sequence[Any]], Any],
    donation: Donation | None,
) -> KnownCall:
    """What runs an executable, with arrays that were captured, and makes its results."""
    if donation is not None:

        def donating(buffers: list[Any], leaves: Sequence[Any]) -> Any:
            buffers[:0] = constants  # no second list that refers to what is given away
            return results(donation.run(executable, buffers, leaves))

        return donating
    if constants:
        return lambda buffers, leaves: results(executable(*constants, *buffers))
    return lambda buffers, leaves: results(executable(*buffers))


def direct_call(
    executable: Executable,
    constants: tuple[Any, ...],
    results: Callable[[Sequence[Any]], Any],
    donation: Donation | None,
    args: tuple[Any, ...],
) -> DirectCall | None:
    """A call for arguments like these under the settings in force, if there can be one.

    The call returns None if something is different.
    """
    walk, state = walker(args), config.state()
    leaves = walk(args) if walk else None
    if walk is None or leaves is None or axes_key():
        return None
    flat = all(type(x) in ARRAYS for x in args)
    if donation is None:
        run = _compared_natively(executable, constants, leaves)
    else:
        run = _compared_here(executable, constants, donation, leaves)
    if run is None:
        return None

    def call(args: tuple[Any, ...]) -> Any:
        if current_trace.get() is not EVAL or config.state() != state or axes_key():
            return None
        if not flat:
            leaves = walk(args)
            if leaves is None:
                return None
            args = leaves
        outputs = run(args)
        return None if outputs is None else results(outputs)

    return call


# What runs a program for leaves that are like those it was made for; else it returns None.
_Run: TypeAlias = Callable[[tuple[Any, ...]], Sequence[Any] | None]


def _compared_natively(
    executable: Executable, constants: tuple[Any, ...], leaves: tuple[Any, ...]
) -> _Run | None:
    """The backend looks at the arrays, if it can."""
    run = executable.direct((*constants, *leaves))
    if run is None or not constants:
        return run
    return lambda leaves: run((*constants, *leaves))


def _compared_here(
    executable: Executable,
    constants: tuple[Any, ...],
    donation: Donation,
    leaves: tuple[Any, ...],
) -> _Run:
    """Python looks at the arrays; it also has to see who else holds them."""
    kinds = [*map(type, leaves)]
    expected = [(x.dtype, x.shape) for x in leaves]

    def run(leaves: tuple[Any, ...]) -> Sequence[Any] | None:
        if [*map(type, leaves)] != kinds:
            return None
        buffers = [x if type(x) is np.ndarray else x._value for x in leaves]
        if not {*map(type, buffers)} <= _NUMPY:  # another thread has given one away meanwhile
            return None
        if [(x.dtype, x.shape) for x in buffers] != expected:
            return None
        buffers[:0] = constants
        return donation.run(executable, buffers, leaves)

    return run


def results_maker(weak: Sequence[bool], tree: PyTreeDef) -> Callable[[Sequence[Any]], Any]:
    """What makes a call's result of the buffers that an executable returns."""
    classes = [WeakArray if w else ConcreteArray for w in weak]
    if tree.is_leaf():
        (cls,) = classes
        return lambda buffers: cls(buffers[0])
    unflatten = tree.unflatten
    if not any(weak):
        return lambda buffers: unflatten(map(ConcreteArray, buffers))
    return lambda buffers: unflatten([c(x) for c, x in zip(classes, buffers, strict=True)])


_ARRAYS = (ConcreteArray, WeakArray)  # those that have a buffer inside
_ARRAY_SET, _NUMPY = set(_ARRAYS), {np.ndarray}


def signature(args: tuple[Any, ...]) -> tuple[Hashable, list[Any], Sequence[Any]] | None:
    """The key of a call with positional arguments, their buffers and their leaves.

    None if a transform is at work, or an argument is no array.
    """
    if current_trace.get() is not EVAL:
        return None
    state, axes = config.state(), axes_key()
    key: list[Any] = [state, axes]
    buffers: list[Any] = []
    for x in args:  # a few arrays are what is called most, and need no flattening
        kind = type(x)
        if kind in _ARRAYS:
            x = x._value
        if type(x) is not np.ndarray:
            break
        buffers.append(x)
        key += (kind, x.dtype, x.shape)
    else:
        return tuple(key), buffers, args
    return _signature_of_tree(args, state, axes)


def _signature_of_tree(
    args: tuple[Any, ...], state: int, axes: Hashable
) -> tuple[Hashable, list[Any], Sequence[Any]] | None:
    """The same for arguments that are trees: column by column, which is faster for many leaves."""
    leaves, tree = tree_flatten(args)
    kinds = set(map(type, leaves))
    if len(kinds) == 1:  # as a rule all are arrays of ours; then one type says it of all
        buffers = [x._value for x in leaves] if kinds <= _ARRAY_SET else leaves
        types = tuple(kinds)
    else:
        buffers = [x._value if type(x) in _ARRAYS else x for x in leaves]
        types = tuple(map(type, leaves))
    if not set(map(type, buffers)) <= _NUMPY:
        return None
    dtypes, shapes = [x.dtype for x in buffers], [x.shape for x in buffers]
    return (tree, state, axes, types, *dtypes, *shapes), buffers, leaves
