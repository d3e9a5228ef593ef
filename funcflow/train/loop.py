"""The training loop: `fit`, `evaluate`, `predict`.

`fit` is short and made of public parts (`create_state`, `train_step`, `Dataset.epoch`): whoever
needs another loop writes one.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

import funcflow.numpy as fnp
from funcflow import data as datasets
from funcflow import optim, random
from funcflow.core.errors import ArgumentError, DivergenceError
from funcflow.core.pytree import tree_map
from funcflow.core.typing import PyTree
from funcflow.train.arguments import (
    check_function,
    check_metrics,
    check_optimizer,
    checked_callbacks,
)
from funcflow.train.callback import Callback, Run
from funcflow.train.divergence import origin_of_divergence
from funcflow.train.history import History
from funcflow.train.interrupts import TrainingInterrupted, interrupts_noted
from funcflow.train.progress import ProgressBar
from funcflow.train.resuming import Checkpoint, resume
from funcflow.train.steps import (
    Metrics,
    Objective,
    Step,
    TrainState,
    computed,
    create_state,
    empty,
    eval_step,
    rows,
    supervised,
    train_step,
)
from funcflow.transforms.jit import jit


class Fit(NamedTuple):
    """What a training leaves.

    Attributes:
        model: the model.
        state: what another training may go on from.
        history: the numbers of each epoch.
    """

    model: Any
    state: TrainState
    history: History


def fit(
    model: PyTree,
    data: Any,
    *,
    loss: Callable[..., Any] | None = None,
    objective: Objective | None = None,
    optimizer: optim.GradientTransformation,
    epochs: int,
    batch_size: int | None = None,
    validation: Any = None,
    metrics: Metrics | None = None,
    callbacks: Iterable[Callback] = (),
    key: Any = None,
    trainable: PyTree = None,
    resume_from: Any = None,
    progress: bool = True,
) -> Fit:
    """Train a model.

    Args:
        model: a module, or a tree of them. Not changed, as nothing is.
        data: what `ff.data.as_dataset` takes: a data set of batches; or arrays, such as a pair
            `(inputs, targets)`, which are shuffled anew in each epoch and cut into batches.
        loss: a function `(predictions, targets)`, as those of `ff.losses`; its mean is minimised.
        objective: instead of `loss`, a function `(model, batch)` that returns the loss of a batch
            of any form, a scalar, and what metrics are to see.
        optimizer: one of `ff.optim`.
        epochs: how many times to go through the data, with those that a resumed training has behind
            it.
        batch_size: for data that is not in batches.
        validation: data whose loss and metrics are taken after each epoch, as `val_...`, in
            inference mode; what is drawn is the same each time, so that epochs compare.
        metrics: what else to measure, by name.
        callbacks: what looks on; see `Callback`.
        key: decides order, dropout and whatever else is drawn; `ff.random.key(0)` if None.
        trainable: which leaves are parameters; `nn.trainable(model)` if None.
        resume_from: the directory of a `Checkpoint`: if there is one, the training goes on from
            there, bit for bit as if it had not stopped. All other arguments must be as they were.
        progress: whether to show a bar, or a line for each epoch; see `ProgressBar`.

    Returns:
        The model, the state after the last step, and the history.

    Raises:
        ArgumentError: none or both of `loss` and `objective` are given; an argument is not what is
            said above; or there are no batches.
        DivergenceError: the loss became NaN or infinite; the message names the layer. Its `result`
            is what there was before that step.
        TrainingInterrupted: the user interrupted. The step in progress is ended first; the error's
            `result` is what there is.

    Example:
        >>> x = ff.random.normal(ff.random.key(0), (64, 2))
        >>> fitted = ff.train.fit(
        ...     nn.Linear(2, 1, key=ff.random.key(1)),
        ...     (x, x.sum(1, keepdims=True)),
        ...     loss=ff.losses.squared_error,
        ...     optimizer=ff.optim.adam(0.1),
        ...     epochs=40,
        ...     batch_size=16,
        ...     progress=False,
        ... )
        >>> fitted.model.kernel.round(2).ravel()
        Array([1., 1.], dtype=float32)
    """
    objective = _objective("fit", loss, objective)
    check_optimizer(optimizer)
    check_metrics(metrics)
    callbacks = checked_callbacks(callbacks)
    order, drawn = random.split(random.key(0) if key is None else key)
    dataset = _in_batches(data, batch_size, order)
    step = train_step(objective, optimizer, metrics, trainable)
    run = Run(
        state=create_state(model, optimizer, drawn, trainable),
        running=empty(metrics),
        epochs=epochs,
        steps_per_epoch=dataset.steps_per_epoch,
        # checkpoints last: they save what the others remember
        callbacks=sorted([*callbacks, *[ProgressBar()] * progress], key=_is_checkpoint),
    )
    validate = _validation(validation, batch_size, objective, metrics, random.split(drawn)[0])
    try:
        with interrupts_noted(run):
            run.tell("on_train_begin")
            if resume_from is not None:
                resume(resume_from, run)
            while run.epoch < epochs and not run.stop:
                if _train_epoch(run, dataset, step, objective):
                    run.logs = {**computed(metrics, run.running), **validate(run.model)}
                    _end_epoch(run, empty(metrics))
        if run.interrupted:
            raise TrainingInterrupted(_result(run))
    except BaseException as error:
        if isinstance(error, DivergenceError):
            error.result = _result(run)
        run.tell("on_interrupt")
        raise
    finally:
        run.tell("on_train_end")
    return _result(run)


def _train_epoch(run: Run, dataset: datasets.Dataset, step: Step, objective: Objective) -> bool:
    """Go through the rest of an epoch; whether it came to its end."""
    run.tell("on_epoch_begin")
    if run.stop:
        return False
    with dataset.epoch(run.epoch, start=run.batch) as batches:
        for batch in batches:
            run.state, run.running, loss = step(run.state, run.running, batch)
            run.loss = float(loss)
            if not math.isfinite(run.loss):
                raise _divergence(run, objective, batch)
            run.batch += 1
            run.examples += rows(batch)
            run.tell("on_batch_end")
            if run.stop:
                return run.batch == run.steps_per_epoch
    return True


def _end_epoch(run: Run, running: PyTree) -> None:
    run.epoch, run.batch, run.running = run.epoch + 1, 0, running
    run.logs = run.history.append({"epoch": run.epoch, **run.logs})
    run.tell("on_epoch_end")


def _divergence(run: Run, objective: Objective, batch: PyTree) -> DivergenceError:
    origin = origin_of_divergence(objective, run.state, batch)
    return DivergenceError(
        f"the loss is {run.loss} in epoch {run.epoch + 1}, batch {run.batch + 1} (step "
        f"{int(run.state.step) + 1}): {origin}",
        mend="lower the learning rate or clip gradients (optim.clip_by_global_norm); the model as "
        "it was before this step is in the error's `result`",
    )


def _result(run: Run) -> Fit:
    return Fit(run.model, run.state, run.history)


def _is_checkpoint(callback: Callback) -> bool:
    return isinstance(callback, Checkpoint)


def evaluate(
    model: PyTree,
    data: Any,
    *,
    loss: Callable[..., Any] | None = None,
    objective: Objective | None = None,
    metrics: Metrics | None = None,
    batch_size: int | None = None,
    key: Any = None,
) -> dict[str, Any]:
    """The mean loss of a model over some data, and other metrics.

    Args:
        model: a module, or a tree of them; it is run in inference mode.
        data: what `ff.data.as_dataset` takes.
        loss: as for `fit`.
        objective: as for `fit`.
        metrics: what else to measure, by name.
        batch_size: for data that is not in batches.
        key: for an objective that draws by `nn.next_key`; what batch `i` draws follows from it and
            `i`.

    Returns:
        A number or array for `"loss"` and each metric.

    Raises:
        ArgumentError: none or both of `loss` and `objective` are given; or something is drawn, and
            there is no key.

    Example:
        >>> double = nn.Activation(lambda x: 2 * x)
        >>> data = (fnp.ones((4, 1)), fnp.zeros((4, 1)))
        >>> ff.train.evaluate(double, data, loss=ff.losses.squared_error, batch_size=2)
        {'loss': 4.0}
    """
    check_metrics(metrics)
    step = eval_step(_objective("evaluate", loss, objective), metrics)
    return _evaluated(step, model, datasets.as_dataset(data, batch_size), metrics, key)


def predict(model: PyTree, data: Any, *, batch_size: int | None = None) -> PyTree:
    """What a model gives for some inputs, batch by batch.

    Args:
        model: a module, or any function of a batch.
        data: what `ff.data.as_dataset` takes; a batch is what the model is called with.
        batch_size: for data that is not in batches.

    Returns:
        The outputs, joined along their first axis.

    Example:
        >>> ff.train.predict(nn.Activation(lambda x: 2 * x), fnp.arange(3), batch_size=2)
        Array([0, 2, 4], dtype=int32)
    """
    outputs = [_call(model, batch) for batch in datasets.as_dataset(data, batch_size)]
    return tree_map(lambda *parts: fnp.concatenate(parts), *outputs)


@jit
def _call(model: Any, batch: Any) -> Any:
    return model(batch)


def _objective(
    function: str, loss: Callable[..., Any] | None, objective: Objective | None
) -> Objective:
    if loss is not None and objective is None:
        check_function("loss", loss)
        return supervised(loss)
    if objective is not None and loss is None:
        check_function("objective", objective)
        return objective
    raise ArgumentError(
        f"{function}: give one of loss and objective",
        mend="loss is a function (predictions, targets), objective one of (model, batch)",
    )


def _in_batches(data: Any, batch_size: int | None, order: Any) -> datasets.Dataset:
    """A data set in its own order, arrays shuffled."""
    if isinstance(data, tuple | dict) or hasattr(data, "__array__"):
        data = datasets.from_arrays(data).shuffle(order)
    return datasets.as_dataset(data, batch_size)


def _validation(
    data: Any, batch_size: int | None, objective: Objective, metrics: Metrics | None, key: Any
) -> Callable[[Any], dict[str, Any]]:
    """A function that gives a model's loss and metrics on held-out data, named `val_...`."""
    if data is None:
        return lambda model: {}
    if isinstance(data, datasets.Dataset) and data.feed.batched:
        batch_size = None
    dataset = datasets.as_dataset(data, batch_size)
    step = eval_step(objective, metrics)

    def validate(model: Any) -> dict[str, Any]:
        found = _evaluated(step, model, dataset, metrics, key)
        return {f"val_{name}": value for name, value in found.items()}

    return validate


def _evaluated(
    step: Callable[..., Any],
    model: Any,
    dataset: datasets.Dataset,
    metrics: Metrics | None,
    key: Any,
) -> dict[str, Any]:
    running = empty(metrics)
    for number, batch in enumerate(dataset):
        own = None if key is None else _fold_in(key, np.int32(number))
        running = step(model, running, batch, own)
    return computed(metrics, running)


_fold_in = jit(random.fold_in)
