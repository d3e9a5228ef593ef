"""What a jitted function was called with: the cache of its signatures, and why a call missed."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from funcflow.core.aval import ShapedArray
from funcflow.core.axes import axes_key
from funcflow.core.config import config
from funcflow.core.flatten import argument_names
from funcflow.core.pytree import PyTreeDef
from funcflow.lax.index_check import checking

MAX_ENTRIES = 2048
_MAX_MISSES = 32  # are remembered, and compared with each new one
_MAX_DIFFERENCES = 3  # are named

T = TypeVar("T")


class CacheInfo(NamedTuple):
    """How often a jitted function was called with a known signature, and with a new one.

    Attributes:
        hits: calls with a known signature.
        misses: calls with a new one, for which the function was traced.
        size: how many signatures are known.
        reasons: why the last calls missed, the latest last: how each differs from what is most
            like it among the calls before.
    """

    hits: int
    misses: int
    size: int
    reasons: tuple[str, ...]


class Signature(NamedTuple):
    """What a call must have in common with an earlier one to use its program."""

    tree: PyTreeDef
    avals: tuple[ShapedArray, ...]
    static: Hashable
    config: tuple[Any, ...]
    axes: Hashable
    checking: bool

    @staticmethod
    def of(tree: PyTreeDef, avals: Sequence[ShapedArray], static: Hashable) -> "Signature":
        """The signature of a call that happens now."""
        key = config.key(), axes_key(), checking.get()
        return Signature(tree, tuple(avals), static, *key)


class Signatures(Generic[T]):
    """What is known of each signature; the oldest are forgotten.

    Attributes:
        hits: how often a signature was known, counted by the caller on its short ways too.
    """

    def __init__(self) -> None:
        self.hits = self._misses = 0
        self._entries: OrderedDict[Signature, T] = OrderedDict()
        self._missed: deque[Signature] = deque(maxlen=_MAX_MISSES)

    def get(self, signature: Signature, make: Callable[[], T]) -> T:
        """What is known of a signature, made if nothing is."""
        entry = self._entries.get(signature)
        if entry is not None:
            self.hits += 1
            return entry
        self._misses += 1
        self._missed.append(signature)
        entry = self._entries[signature] = make()
        if len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)
        return entry

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._missed.clear()

    def info(self) -> CacheInfo:
        """The counts, and the reasons of the last misses."""
        missed = list(self._missed)
        first = self._misses == len(missed)
        reasons = [self._reason(missed, i, first) for i in range(len(missed))]
        return CacheInfo(self.hits, self._misses, len(self._entries), tuple(reasons))

    def why(self) -> str:
        """Why the last call that missed did."""
        missed = list(self._missed)
        return self._reason(missed, len(missed) - 1, True) if missed else "known"

    @staticmethod
    def _reason(missed: Sequence[Signature], place: int, complete: bool) -> str:
        """What a missed signature has that those before it have not."""
        earlier = missed[:place]
        if not earlier:
            return "first call" if complete else "earlier calls are no longer known"
        found = min((differences(old, missed[place]) for old in reversed(earlier)), key=len)
        if not found:
            return "the signature was forgotten"
        more = len(found) - _MAX_DIFFERENCES
        return "; ".join(found[:_MAX_DIFFERENCES]) + (f"; {more} more differences" * (more > 0))


def differences(old: Signature, new: Signature) -> list[str]:
    """In what two signatures differ, in words."""
    return [
        *_in_arguments(old, new),
        *_in_static(old.static, new.static),
        *_in_settings(old.config, new.config),
        *([] if old.axes == new.axes else [f"axes in scope: {old.axes} became {new.axes}"]),
        *([] if old.checking == new.checking else [_CHECKING[new.checking]]),
    ]


_CHECKING = {True: "debug_indices is on", False: "debug_indices is off"}


def _in_arguments(old: Signature, new: Signature) -> list[str]:
    if old.tree != new.tree:
        return [_trees(old.tree, new.tree)]
    if old.avals == new.avals:
        return []
    named = zip(argument_names(new.tree), old.avals, new.avals, strict=True)
    return [f"{name}: {_typed(a)} became {_typed(b)}" for name, a, b in named if a != b]


def _trees(old: PyTreeDef, new: PyTreeDef) -> str:
    before, after = dict.fromkeys(argument_names(old)), dict.fromkeys(argument_names(new))
    parts = [f"{name} is new" for name in after if name not in before]
    parts += [f"{name} is gone" for name in before if name not in after]
    if not parts:
        parts = [f"{old} became {new}"]
    more = len(parts) - _MAX_DIFFERENCES
    shown = [*parts[:_MAX_DIFFERENCES], *([f"{more} more"] if more > 0 else [])]
    return f"the tree of the arguments changed: {', '.join(shown)}"


def _typed(aval: ShapedArray) -> str:
    shape = ",".join(map(str, aval.shape))
    return f"{'weak ' if aval.weak_type else ''}{aval.dtype.name}[{shape}]"


def _in_static(old: Any, new: Any) -> list[str]:
    before, after = dict(old), dict(new)
    return [
        f"static argument {where!r}: {_value(before.get(where))} became {_value(after.get(where))}"
        for where in dict.fromkeys((*before, *after))
        if before.get(where) != after.get(where)
    ]


def _value(key: Any) -> str:
    """The value that a key of `static_arguments.exact_key` stands for."""
    if key is None:
        return "nothing"
    kind, value = key
    if issubclass(kind, tuple):
        inner = ", ".join(map(_value, value))
        return f"({inner}{',' * (len(value) == 1)})"
    return value if issubclass(kind, float | complex) else repr(value)


def _in_settings(old: tuple[Any, ...], new: tuple[Any, ...]) -> list[str]:
    named = zip(config.in_force(), old, new, strict=True)
    return [f"config.{name}: {a} became {b}" for name, a, b in named if a != b]
