"""One step of training as a pure function, and what it is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import funcflow.numpy as fnp
from funcflow import nn, optim, random
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.core.pytree import tree_leaves, tree_map
from funcflow.core.typing import PyTree
from funcflow.train.metrics import Metric, mean
from funcflow.transforms.grad import value_and_grad
from funcflow.transforms.jit import jit

# From a model and a batch to the loss, a scalar, and what else the step is to see of it.
Objective: TypeAlias = Callable[[Any, Any], tuple[Any, Any]]
Metrics: TypeAlias = Mapping[str, Metric]
Step: TypeAlias = Callable[["TrainState", PyTree, PyTree], tuple["TrainState", PyTree, Array]]


class TrainState(NamedTuple):
    """All that a step of training changes.

    Attributes:
        model: the model, a pytree.
        opt_state: the optimiser's state.
        key: where the keys of the steps come from.
        step: how many steps were made, an int32 array.
    """

    model: Any
    opt_state: Any
    key: Any
    step: Array


def create_state(
    model: PyTree,
    optimizer: optim.GradientTransformation,
    key: Any = None,
    trainable: PyTree = None,
) -> TrainState:
    """The state before the first step.

    Args:
        model: a module, or another pytree with parameters.
        optimizer: what the state of the optimiser is made by.
        key: for what is drawn in training; `ff.random.key(0)` if None.
        trainable: which leaves are parameters; `nn.trainable(model)` if None.

    Returns:
        A state with arrays of its own: a step may reuse their memory.
    """
    own = tree_map(lambda x: fnp.copy(x) if nn.is_array(x) else x, model)
    key = random.key(0) if key is None else key
    opt_state = optimizer.init(nn.filter(own, _spec(own, trainable)))
    return TrainState(own, opt_state, tree_map(fnp.copy, key), fnp.int32(0))


def supervised(loss: Callable[..., Any]) -> Objective:
    """The objective of a model that maps inputs to predictions, which a loss compares with targets.

    Args:
        loss: a function `(predictions, targets)` that gives a loss for each example or element, or
            a scalar; such as those of `ff.losses`.

    Returns:
        A function of a model and a batch `(inputs, targets)` or `(inputs, targets, weights)`, that
        returns the mean of the losses, weighted by example, and the predictions.

    Example:
        >>> objective = ff.train.supervised(ff.losses.squared_error)
        >>> objective(lambda x: 2 * x, (fnp.ones(3), fnp.zeros(3)))
        (Array(4., dtype=float32), Array([2., 2., 2.], dtype=float32))
    """
    return _Supervised(loss)


@dataclass(frozen=True)
class _Supervised:
    loss: Callable[..., Any]

    def __call__(self, model: Any, batch: Any) -> tuple[Any, Any]:
        inputs, targets, weights = unpacked(batch)
        predictions = model(inputs)
        losses = self.loss(predictions, targets)
        if weights is None:
            return fnp.mean(losses), predictions
        per_example = fnp.mean(losses, axis=tuple(range(1, fnp.ndim(losses))))
        total = fnp.sum(weights)
        mean = fnp.sum(per_example * weights) / fnp.where(total == 0, 1, total)
        return mean, predictions


def train_step(
    objective: Objective,
    optimizer: optim.GradientTransformation,
    metrics: Metrics | None = None,
    trainable: PyTree = None,
) -> Step:
    """A jitted step of training: gradient, update, metrics.

    The state that goes in is donated: its memory becomes that of the one that comes out. If the
    loss is NaN or infinite, the state comes out as it went in.

    Args:
        objective: `(model, batch) -> (loss, predictions)`, run in training mode; see `supervised`.
        optimizer: makes updates of gradients. One with line search is given `value`, `grad` and
            `value_fn`.
        metrics: by name, what to keep of predictions and targets.
        trainable: which leaves are parameters, as for `create_state`.

    Returns:
        A function `(state, running, batch) -> (state, running, loss)`, where `running` are the
        states of the metrics, at first `empty(metrics)`; the loss's mean is among them.
    """
    metrics = dict(metrics or {})
    update = optim.with_extra_args_support(optimizer).update

    def step(state: TrainState, running: PyTree, batch: PyTree) -> Any:
        spec = _spec(state.model, trainable)
        params, rest = nn.partition(state.model, spec)
        key = random.fold_in(state.key, state.step)

        def loss_of(params: PyTree) -> Any:
            whole = nn.combine(params, rest)
            (loss, predictions), model = nn.training(objective)(whole, batch, key=key)
            return loss, (predictions, model)

        (loss, (predictions, model)), grads = value_and_grad(loss_of, has_aux=True)(params)
        updates, opt_state = update(
            grads,
            state.opt_state,
            params,
            value=loss,
            grad=grads,
            value_fn=lambda params: loss_of(params)[0],
        )
        changed = nn.combine(optim.apply_updates(params, updates), nn.filter(model, spec, True))
        fine = fnp.isfinite(loss)
        new, opt_state = tree_map(
            lambda new, old: fnp.where(fine, new, old) if nn.is_array(new) else new,
            (changed, opt_state),
            (state.model, state.opt_state),
        )
        running = _updated(objective, metrics, running, loss, predictions, batch)
        return TrainState(new, opt_state, state.key, state.step + fine), running, loss

    return jit(step, donate_argnums=(0, 1))


def eval_step(objective: Objective, metrics: Metrics | None = None) -> Callable[..., PyTree]:
    """A jitted step of evaluation: `(model, running, batch, key=None) -> running`.

    The objective is run in inference mode; the key is for one that draws by `nn.next_key`.
    """
    metrics = dict(metrics or {})

    def step(model: PyTree, running: PyTree, batch: PyTree, key: Any = None) -> PyTree:
        loss, predictions = nn.inference(objective)(model, batch, key=key)
        return _updated(objective, metrics, running, loss, predictions, batch)

    return jit(step, donate_argnums=1)


_LOSS = mean()


def empty(metrics: Metrics | None = None) -> dict[str, PyTree]:
    """The states of the loss's mean and of the metrics before the first batch."""
    return {"loss": _LOSS.empty(), **{name: m.empty() for name, m in (metrics or {}).items()}}


def computed(metrics: Metrics | None, running: PyTree) -> dict[str, Any]:
    """The values of the loss's mean and of the metrics, numbers or arrays by name."""
    found = {"loss": _LOSS.compute(running["loss"])}
    found.update({name: m.compute(running[name]) for name, m in (metrics or {}).items()})
    return {name: float(x) if fnp.ndim(x) == 0 else x for name, x in found.items()}


def unpacked(batch: Any) -> tuple[Any, Any, Any]:
    """Inputs, targets, and weights or None, of a batch."""
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise ArgumentError(
            "a batch must be (inputs, targets) or (inputs, targets, weights), got "
            f"{type(batch).__name__}",
            mend="pass objective= instead of loss= for batches of another form",
        )
    inputs, targets, *weights = batch
    return inputs, targets, weights[0] if weights else None


def rows(batch: PyTree) -> int:
    """How many examples a batch has: the length of its first array with axes, or 1."""
    for leaf in tree_leaves(batch):
        shape = fnp.shape(leaf)
        if shape:
            return shape[0]
    return 1


def _spec(model: PyTree, trainable: PyTree) -> PyTree:
    return nn.trainable(model) if trainable is None else trainable


def _updated(
    objective: Objective,
    metrics: Metrics,
    running: PyTree,
    loss: Any,
    predictions: Any,
    batch: PyTree,
) -> PyTree:
    """The running values after a batch."""
    new = {"loss": _LOSS.update(running["loss"], loss, weights=_weight(objective, batch))}
    if metrics:
        _, targets, weights = unpacked(batch)
        for name, metric in metrics.items():
            new[name] = metric.update(running[name], predictions, targets, weights=weights)
    return new


def _weight(objective: Objective, batch: PyTree) -> Any:
    """What a batch counts in the mean of losses: the sum of its weights, or its number of rows."""
    if isinstance(objective, _Supervised):
        weights = unpacked(batch)[2]
        if weights is not None:
            return fnp.sum(weights)
    return float(rows(batch))
