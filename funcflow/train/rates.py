"""Learning rates that follow the epochs.

Schedules of `ff.optim` follow the steps and need no callback. These set the learning rate that an
optimiser made by `ff.optim.inject_hyperparams` has in its state.
"""

from collections.abc import Callable
from typing import Any, Literal

import funcflow.numpy as fnp
from funcflow.core.errors import ArgumentError
from funcflow.core.pytree import tree_leaves, tree_map
from funcflow.core.typing import PyTree
from funcflow.optim import InjectHyperparamsState
from funcflow.train.callback import Callback, Run
from funcflow.train.monitoring import Monitor


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch, and logs it as `learning_rate`.

    Args:
        schedule: a function of the number of epochs that are over.

    Raises:
        ArgumentError: the optimiser has no learning rate in its state.

    Example:
        >>> halving = ff.train.LearningRateScheduler(lambda epoch: 0.1 * 0.5**epoch)
        >>> optimizer = ff.optim.inject_hyperparams(ff.optim.sgd)(learning_rate=0.1)
    """

    def __init__(self, schedule: Callable[[int], float]) -> None:
        self._schedule = schedule

    def on_epoch_begin(self, run: Run) -> None:
        set_learning_rate(run, self._schedule(run.epoch))

    def on_epoch_end(self, run: Run) -> None:
        run.logs["learning_rate"] = learning_rate(run)


class ReduceLROnPlateau(Callback):
    """Lowers the learning rate when a number of the epochs' logs got no better for some time.

    Args:
        monitor: the number's name.
        mode: whether less of it is better (`"min"`) or more (`"max"`).
        factor: what the learning rate is multiplied by.
        patience: for how many epochs the number may get no better.
        min_delta: by how much it must get better to count.
        cooldown: how many epochs do not count after a reduction.
        min_lr: where the reductions end.

    Raises:
        ArgumentError: `factor` is not between 0 and 1; or the optimiser has no learning rate in its
            state.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if not 0 < factor < 1:
            raise ArgumentError(f"ReduceLROnPlateau: factor must be in (0, 1), got {factor}")
        self._monitor = Monitor(monitor, mode, min_delta)
        self._factor, self._patience = factor, patience
        self._cooldown, self._min_lr = cooldown, min_lr

    def on_train_begin(self, run: Run) -> None:
        self.memory = {"best": self._monitor.worst, "waited": 0, "resting": 0}

    def on_epoch_end(self, run: Run) -> None:
        memory = self.memory
        run.logs["learning_rate"] = learning_rate(run)
        memory["resting"] = max(memory["resting"] - 1, 0)
        if self._monitor.is_better(run.logs, memory["best"]):
            memory["best"], memory["waited"] = self._monitor.value(run.logs), 0
        elif not memory["resting"]:
            memory["waited"] += 1
        if memory["waited"] > self._patience:
            set_learning_rate(run, max(learning_rate(run) * self._factor, self._min_lr))
            memory["waited"], memory["resting"] = 0, self._cooldown


def learning_rate(run: Run) -> float:
    """The learning rate in the state of a run's optimiser."""
    return float(_settings(run.state.opt_state).hyperparams["learning_rate"])


def set_learning_rate(run: Run, value: float) -> None:
    """Give the optimiser of a run another learning rate.

    Raises:
        ArgumentError: it has none in its state.
    """
    _settings(run.state.opt_state)

    def changed(node: Any) -> Any:
        if not _has_rate(node):
            return node
        rate = fnp.array(value, node.hyperparams["learning_rate"].dtype)
        return node._replace(hyperparams={**node.hyperparams, "learning_rate": rate})

    opt_state = tree_map(changed, run.state.opt_state, is_leaf=_has_rate)
    run.state = run.state._replace(opt_state=opt_state)


def _settings(opt_state: PyTree) -> InjectHyperparamsState:
    found = next(filter(_has_rate, tree_leaves(opt_state, is_leaf=_has_rate)), None)
    if found is None:
        raise ArgumentError(
            "the optimiser has no learning rate in its state",
            mend="make it with optim.inject_hyperparams(optim.adam)(learning_rate=1e-3), "
            "or give it a schedule",
        )
    return found


def _has_rate(node: Any) -> bool:
    return isinstance(node, InjectHyperparamsState) and "learning_rate" in node.hyperparams
