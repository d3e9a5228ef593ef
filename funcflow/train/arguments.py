"""What `fit` and `evaluate` ask of their arguments."""

from collections.abc import Iterable, Mapping
from typing import Any

from funcflow.core.errors import ArgumentError
from funcflow.train.callback import Callback
from funcflow.train.metrics import Metric


def check_function(what: str, given: Any) -> None:
    """Refuse a loss or an objective that is no function."""
    if not callable(given):
        raise ArgumentError(
            f"{what} must be a function, got {given!r}",
            mend="ff.losses has functions of (predictions, targets), such as squared_error",
        )


def check_optimizer(given: Any) -> None:
    """Refuse what is no optimiser."""
    if hasattr(given, "init") and hasattr(given, "update"):
        return
    what = f"the function {given.__name__}" if hasattr(given, "__name__") else repr(given)
    raise ArgumentError(
        f"optimizer must be made by a function of ff.optim, got {what}",
        mend="call one: optimizer=ff.optim.adam(1e-3)",
    )


def check_metrics(given: Any) -> None:
    """Refuse metrics without names, and what is no metric."""
    mend = 'pass a dict such as {"accuracy": ff.train.metrics.accuracy()}'
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise ArgumentError(
            f"metrics must be a dict of metrics by name, got {type(given).__name__}", mend=mend
        )
    for name, metric in given.items():
        if not isinstance(metric, Metric):
            what = (
                f"the function {metric.__name__}" if hasattr(metric, "__name__") else repr(metric)
            )
            raise ArgumentError(f"metrics[{name!r}] must be a Metric, got {what}", mend=mend)


def checked_callbacks(given: Any) -> list[Callback]:
    """The callbacks as a list."""
    callbacks = list(given) if isinstance(given, Iterable) else [given]
    for callback in callbacks:
        if isinstance(given, Callback) or not isinstance(callback, Callback):
            raise ArgumentError(
                f"callbacks must be a list of Callbacks, got {callback!r}",
                mend="pass a list: callbacks=[...]; a class is called first",
            )
    return callbacks
