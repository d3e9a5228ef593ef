"""Training mode: random layers draw, running averages follow the batches. And inference mode.

A model is called as `model(x)` in both modes. What differs is asked for by the few layers that
care: `is_training`, `next_key` and `update_buffer` look at the innermost `training` or `inference`
in progress. Seen from outside, `training(f)` is pure: the key goes in, the changed model comes out.
"""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from funcflow import random
from funcflow.core.errors import ArgumentError, UnexpectedTracerError
from funcflow.core.pytree import tree_leaves, tree_map
from funcflow.core.trace import Trace, current_trace


class _Mode:
    """A run in training or inference mode, which is named as its function is."""

    def __init__(self, name: str, key: Any) -> None:
        self.name = name
        self.key = key
        self.keys_drawn = 0
        self.trace: Trace = current_trace.get()
        # By the identity of the old array: it is the same object wherever in a copy of the model,
        # such as one with parameters of another dtype, the buffer stands.
        self.updates: dict[int, tuple[Any, Any]] = {}

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function in this mode."""
        token = _MODE.set(self)
        try:
            return function(*args, **kwargs)
        finally:
            _MODE.reset(token)


_MODE: ContextVar[_Mode | None] = ContextVar("mode", default=None)


def training(function: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """The function in training mode, which also returns the model with new running averages.

    `training(f)(model, *args, key=key)` is `(f(model, *args), model)`. Within `f`, dropout drops
    elements, with keys derived from `key`, and batch norm uses the batch's statistics; the model
    that is returned has the running averages that follow from them, and the same parameters.

    It may stand within any transform, and any transform around it. A function that is transformed
    *within* `f`, such as the body of a `scan` over layers or a `checkpoint`, is traced by itself:
    it needs a `training` of its own, with a key of its own.

    Args:
        function: any function whose first argument is a model: a module, or a tree of them.

    Returns:
        A function of the same arguments and `key`, which may be left out if nothing is random.

    Raises:
        UnexpectedTracerError: a layer within another transform asks for a key, or changes averages.
        ArgumentError: a random layer is called and no key was given, or a layer that is no part of
            the model changes its averages.

    Example:
        >>> model = nn.Dropout(0.5)
        >>> model(fnp.ones(4))
        Array([1., 1., 1., 1.], dtype=float32)
        >>> y, model = nn.training(lambda m, x: m(x))(model, fnp.ones(4), key=ff.random.key(0))
        >>> y
        Array([2., 2., 0., 2.], dtype=float32)
    """

    @functools.wraps(function)
    def in_training(model: Any, *args: Any, key: Any = None, **kwargs: Any) -> tuple[Any, Any]:
        mode = _Mode("training", key)
        output = mode.run(function, model, *args, **kwargs)
        return output, _updated(model, mode.updates)

    return in_training


def inference(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function in inference mode, also within `training`, and with a key for what is drawn.

    `inference(f)(*args, key=key)` is `f(*args)`. Within `f`, layers do as they do outside of
    `training`: nothing is dropped, and batch norm uses its running averages. So a part of a model
    can be kept as it is while others train, and an objective that draws by `next_key`, such as that
    of a variational autoencoder, can be evaluated.

    Args:
        function: any function.

    Returns:
        A function of the same arguments and `key`, which may be left out if nothing is random.

    Raises:
        UnexpectedTracerError: something within another transform asks for a key.
        ArgumentError: something asks for a key and none was given, or averages are to be changed.

    Example:
        >>> noisy = lambda x: x + ff.random.normal(nn.next_key(), x.shape)
        >>> nn.inference(noisy)(fnp.ones(2), key=ff.random.key(0)).shape
        (2,)
        >>> teacher = nn.Dropout(0.5)
        >>> nn.training(lambda student, x: nn.inference(teacher)(x))(None, fnp.ones(2))[0]
        Array([1., 1.], dtype=float32)
    """

    @functools.wraps(function)
    def in_inference(*args: Any, key: Any = None, **kwargs: Any) -> Any:
        return _Mode("inference", key).run(function, *args, **kwargs)

    return in_inference


def is_training() -> bool:
    """Whether this runs in training mode."""
    mode = _MODE.get()
    return mode is not None and mode.name == "training"


def next_key() -> Any:
    """A key that no other call within the same `training` or `inference` gets, to draw with.

    Raises:
        ArgumentError: there is neither, or it was given no key.
        UnexpectedTracerError: another transform lies between it and this call.
    """
    mode = _mode_here("draws random numbers")
    if mode.key is None:
        raise ArgumentError(
            f"a layer or loss draws random numbers in {mode.name} mode, and there is no key",
            mend=f"pass one: `nn.{mode.name}(f)(model, ..., key=key)`, `train.evaluate(..., "
            "key=key)`",
        )
    mode.keys_drawn += 1
    return random.fold_in(mode.key, mode.keys_drawn)


def update_buffer(buffer: Any, function: Callable[[Any], Any]) -> None:
    """Give a buffer of the model a new value, `function` of the one that it has.

    The layer passes the array that it holds, e.g. `update_buffer(self.mean, lambda old: ...)`. The
    new value is seen in the model that `training` returns; a layer that is called twice passes
    through `function` twice.

    Raises:
        ArgumentError: this does not run in training mode.
        UnexpectedTracerError: another transform lies between `training` and this call.
    """
    mode = _mode_here("changes a buffer")
    if mode.name != "training":
        raise _outside("changes a buffer")
    _, value = mode.updates.get(id(buffer), (buffer, buffer))
    mode.updates[id(buffer)] = (buffer, function(value))


def _mode_here(what: str) -> _Mode:
    mode = _MODE.get()
    if mode is None:
        raise _outside(what)
    if mode.trace is not current_trace.get():
        returned = ", and return the layer with the output" * (mode.name == "training")
        raise UnexpectedTracerError(
            f"a layer {what} in a function that is transformed within `nn.{mode.name}`: by scan, "
            "vmap, jit, checkpoint or the like",
            mend=f"use `nn.{mode.name}(f)(layer, x, key=key)` within that function, with a key "
            f"that is an argument of it{returned}",
        )
    return mode


def _outside(what: str) -> ArgumentError:
    return ArgumentError(
        f"a layer {what} outside training mode",
        mend="ask `nn.is_training()` first; what draws in inference too is called by "
        "`nn.inference(f)(..., key=key)`",
    )


def _updated(model: Any, updates: dict[int, tuple[Any, Any]]) -> Any:
    held = set(map(id, tree_leaves(model)))
    if not held.issuperset(updates):
        raise ArgumentError(
            "a layer that is no part of the model changed a buffer in `nn.training`",
            mend="pass the layer within the first argument of the function",
        )
    if not updates:
        return model
    return tree_map(lambda leaf: updates.get(id(leaf), (leaf, leaf))[1], model)
