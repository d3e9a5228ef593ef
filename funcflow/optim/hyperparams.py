"""Settings of an optimiser in its state, where they can be seen and changed."""

import functools
import inspect
import numbers
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

import funcflow.numpy as fnp
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.core.pytree import tree_leaves
from funcflow.core.typing import DTypeLike, PyTree
from funcflow.optim.base import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    with_extra_args_support,
)
from funcflow.optim.leaves import first_count, increment


class InjectHyperparamsState(NamedTuple):
    """The number of updates, the settings by name, and the state of the optimiser."""

    count: Array
    hyperparams: dict[str, Array]
    inner_state: PyTree


def inject_hyperparams(
    inner_factory: Callable[..., GradientTransformation],
    static_args: str | Iterable[str] = (),
    hyperparam_dtype: DTypeLike = None,
) -> Callable[..., GradientTransformationExtraArgs]:
    """An optimiser whose settings are in its state.

    Numbers become arrays of `state.hyperparams`; who puts another number there changes the setting,
    and under `vmap` each lane may have its own. Functions count as schedules: their value at the
    number of updates is there to be read. Booleans, types, None and what `static_args` names stay
    as they are.

    Args:
        inner_factory: makes the optimiser, as `ff.optim.adam`.
        static_args: names of arguments that are no settings: numbers that are needed while tracing,
            functions that are no schedules (a `mask`).
        hyperparam_dtype: of the settings; None for the widest of the parameters, at least float32.

    Returns:
        A function that takes the arguments of `inner_factory`.

    Raises:
        ArgumentError: `static_args` names what is no argument.

    Example:
        >>> optimizer = ff.optim.inject_hyperparams(ff.optim.sgd)(learning_rate=0.1)
        >>> state = optimizer.init(fnp.zeros(1))
        >>> state.hyperparams
        {'learning_rate': Array(0.1, dtype=float32)}
        >>> state.hyperparams["learning_rate"] = fnp.array(0.5)
        >>> optimizer.update(fnp.ones(1), state)[0]
        Array([-0.5], dtype=float32)
    """
    static = {static_args} if isinstance(static_args, str) else set(static_args)
    signature = inspect.signature(inner_factory)
    unknown = static - signature.parameters.keys()
    if unknown:
        raise ArgumentError(
            f"inject_hyperparams: static_args names {', '.join(sorted(unknown))}, which are no "
            f"arguments of the optimiser; it has {', '.join(signature.parameters)}",
            mend="name arguments of the function that makes the optimiser",
        )

    @functools.wraps(inner_factory)
    def factory(*args: Any, **kwargs: Any) -> GradientTransformationExtraArgs:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = {name: x for name, x in bound.arguments.items() if name not in static}
        schedules = {name: x for name, x in given.items() if _is_schedule(x)}
        settings = {name: x for name, x in given.items() if _is_setting(x)}

        def inner(hyperparams: dict[str, Array]) -> GradientTransformationExtraArgs:
            arguments = bound.arguments | hyperparams
            call = inspect.BoundArguments(signature, OrderedDict(arguments))
            return with_extra_args_support(inner_factory(*call.args, **call.kwargs))

        def scheduled(count: Array) -> dict[str, Any]:
            return {name: schedule(count) for name, schedule in schedules.items()}

        def init(params: PyTree) -> InjectHyperparamsState:
            count = first_count()
            dtype = _widest(params) if hyperparam_dtype is None else hyperparam_dtype
            values = settings | scheduled(count)
            hyperparams = {name: fnp.array(x, dtype) for name, x in values.items()}
            return InjectHyperparamsState(count, hyperparams, inner(hyperparams).init(params))

        def update(
            updates: PyTree, state: InjectHyperparamsState, params: PyTree = None, **extra: Any
        ) -> tuple[PyTree, InjectHyperparamsState]:
            hyperparams = dict(state.hyperparams)
            for name, value in scheduled(state.count).items():
                hyperparams[name] = fnp.asarray(value).astype(state.hyperparams[name].dtype)
            updates, inner_state = inner(hyperparams).update(
                updates, state.inner_state, params, **extra
            )
            count = increment(state.count)
            return updates, InjectHyperparamsState(count, hyperparams, inner_state)

        return GradientTransformationExtraArgs(init, update)

    return factory


def _is_schedule(x: Any) -> bool:
    return callable(x) and not isinstance(x, type)


def _is_setting(x: Any) -> bool:
    if isinstance(x, bool):
        return False
    return isinstance(x, numbers.Real | Array | np.ndarray)


def _widest(params: PyTree) -> Any:
    leaves = [dtypes.real_of(fnp.asarray(p).dtype) for p in tree_leaves(params)]
    return fnp.result_type("float32", *leaves)
