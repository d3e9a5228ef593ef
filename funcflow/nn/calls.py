"""Calls of modules, seen from outside: where in a model an error came up, what each layer gave.

Every module's `__call__` passes through `watched`. It keeps the stack of the calls in progress,
adds to an error the place of the module that it came from, and tells who asked what came out.
"""

import functools
import itertools
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from funcflow.core.pytree import KeyPath, keystr, tree_leaves_with_path


class ModuleCall(NamedTuple):
    """A call of a module that has come to its end."""

    path: KeyPath
    """Where the module stands in the one that was called first."""
    module: Any
    args: tuple[Any, ...]
    output: Any


Watcher = Callable[[ModuleCall], None]

_IN_PROGRESS: ContextVar[tuple[Any, ...]] = ContextVar("modules_in_progress", default=())
_WATCHERS: ContextVar[tuple[Watcher, ...]] = ContextVar("module_watchers", default=())


@contextmanager
def watch_calls(watcher: Watcher) -> Generator[None]:
    """Call `watcher` with each call of a module that ends within the block, inner ones first.

    The values are tracers where the model is being traced: watch a model that runs eagerly, or use
    shapes only.

    Example:
        >>> model = nn.Sequential([nn.Linear(3, 2, key=ff.random.key(0)), nn.relu])
        >>> with nn.watch_calls(lambda c: print(type(c.module).__name__, c.output.shape)):
        ...     y = model(fnp.ones((5, 3)))
        Linear (5, 2)
        Activation (5, 2)
        Sequential (5, 2)
    """
    token = _WATCHERS.set((*_WATCHERS.get(), watcher))
    try:
        yield
    finally:
        _WATCHERS.reset(token)


def watched(call: Callable[..., Any]) -> Callable[..., Any]:
    """A `__call__` that can be watched, and whose errors say where in the model they came up."""

    @functools.wraps(call)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer = _IN_PROGRESS.get()
        if outer and outer[-1] is self:  # the class's `__call__` calls that of its base
            return call(self, *args, **kwargs)
        modules = (*outer, self)
        token = _IN_PROGRESS.set(modules)
        try:
            output = call(self, *args, **kwargs)
        except Exception as error:
            if not hasattr(error, _PLACED):
                _place(error, modules)
            raise
        finally:
            _IN_PROGRESS.reset(token)
        for watcher in _WATCHERS.get():
            watcher(ModuleCall(path_of(modules), self, args, output))
        return output

    return __call__


_PLACED = "_funcflow_module"  # an attribute of errors that carry the note already


def _place(error: Exception, modules: tuple[Any, ...]) -> None:
    root, innermost = (type(m).__name__ for m in (modules[0], modules[-1]))
    path = keystr(path_of(modules))
    error.add_note(f"in {root}{path} ({innermost})" if path else f"in {root}")
    setattr(error, _PLACED, True)


def path_of(modules: tuple[Any, ...]) -> KeyPath:
    """The key path from the first of some nested calls' modules to the last.

    A module that the one around it does not hold, such as one made on the fly, adds nothing.
    """
    steps: Iterator[KeyPath] = (
        _path_within(outer, inner) for outer, inner in itertools.pairwise(modules)
    )
    return tuple(key for path in steps for key in path)


def _path_within(outer: Any, inner: Any) -> KeyPath:
    found = tree_leaves_with_path(outer, is_leaf=lambda x: x is inner)
    return next((path for path, leaf in found if leaf is inner), ())
