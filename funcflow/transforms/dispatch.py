"""The short way from a jitted call to its executable, for signatures that are known.

The general way works out abstract values, static arguments and error messages. A call with the
same structure, types, dtypes and shapes as an earlier one needs none of that: its key is put
together from what arrays say of themselves, which takes a microsecond or two.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from funcflow.core.array import ConcreteArray, WeakArray
from funcflow.core.axes import axes_key
from funcflow.core.backend import Executable
from funcflow.core.config import config
from funcflow.core.pytree import tree_flatten
from funcflow.core.trace import EVAL, current_trace
from funcflow.transforms.donation import Donation


class KnownCall(NamedTuple):
    """What runs for a signature: the executable, the captured arrays, and how results are made."""

    executable: Executable
    constants: tuple[Any, ...]
    classes: Sequence[type[ConcreteArray]]
    unflatten: Callable[[Any], Any]
    donation: Donation | None

    def run(self, buffers: list[Any], leaves: Sequence[Any]) -> Any:
        """Call the executable on the arguments' buffers; the list is used up."""
        if self.donation is None:
            outs = self.executable(*self.constants, *buffers)
        else:
            buffers[:0] = self.constants  # no second list that refers to what is given away
            outs = self.donation.run(self.executable, buffers, leaves)
        return self.unflatten([cls(x) for cls, x in zip(self.classes, outs, strict=True)])


def classes_of(weak: Sequence[bool]) -> list[type[ConcreteArray]]:
    """The class of each result."""
    return [WeakArray if w else ConcreteArray for w in weak]


_ARRAYS = (ConcreteArray, WeakArray)


def signature(args: tuple[Any, ...]) -> tuple[Hashable, list[Any], list[Any]] | None:
    """The key of a call with positional arguments, their buffers and their leaves.

    None if a transform is at work, or an argument is no array.
    """
    if current_trace.get() is not EVAL:
        return None
    leaves, tree = tree_flatten(args)
    key: list[Any] = [tree, config.state(), axes_key()]
    buffers: list[Any] = []
    for x in leaves:
        kind = type(x)
        if kind in _ARRAYS:
            x = x._value
        if type(x) is not np.ndarray:
            return None
        buffers.append(x)
        key += (kind, x.dtype, x.shape)
    return tuple(key), buffers, leaves
