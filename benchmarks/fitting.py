"""The training loop: what `fit` adds to its steps, and how long it waits for data."""

import comparison  # first: it cleans the environment

# isort: split
import io
import statistics
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from functools import partial
from time import perf_counter
from typing import Any

import models
import numpy as np
from comparison import LOOP, WITHOUT_WAITS, Measured, Options, Row, Table

import funcflow as ff
from funcflow import data, losses, optim, train

BATCHES, QUICK_BATCHES = 30, 4  # in an epoch, which is what is timed
SMALL_BATCHES = 500  # those of the small model take little time
AHEAD = 2  # batches
SHIFT = 0.1  # of an image's height and width

CNN = models.CNN()
DIGITS = models.MLP(batch_size=32, widths=(64, 64, 10))
METRICS = {"accuracy": train.metrics.accuracy()}

Problem = models.CNN | models.MLP


def objective(problem: Problem) -> Callable[[Any, Any], tuple[Any, Any]]:
    """The loss of a model whose parameters are a tree of arrays."""

    def loss(params: Any, batch: Any) -> Any:
        images, labels = batch
        logits = problem.logits(ff, params, images)
        return losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), logits

    return loss


def in_batches(problem: Problem, batches: int) -> data.Dataset:
    """So many different batches, shuffled."""
    images, labels = problem.batch()
    repeated = np.concatenate([images] * batches), np.concatenate([labels] * batches)
    shuffled = data.from_arrays(repeated).shuffle(ff.random.key(0))
    return shuffled.batch(problem.batch_size)


def optimizer(problem: Problem) -> optim.GradientTransformation:
    return optim.sgd(models.SGD_RATE) if problem is CNN else optim.adam(models.ADAM_RATE)


# --- what fit adds --------------------------------------------------------------------------


def loop_by_hand(problem: Problem, batches: data.Dataset) -> Callable[[], None]:
    """An epoch of the shortest loop that does the same work, its steps compiled."""
    step = train.train_step(objective(problem), optimizer(problem), METRICS)
    state = train.create_state(problem.init(), optimizer(problem))

    def epoch() -> None:
        nonlocal state
        running = train.empty(METRICS)
        for batch in batches.epoch(0):
            state, running, _ = step(state, running, batch)

    epoch()
    return epoch


class Terminal(io.StringIO):
    """Takes a bar as a terminal does; anything else gets lines."""

    def isatty(self) -> bool:
        return True


class Alternating(train.Callback):
    """Times the epochs of a training, and after each of them an epoch of something else."""

    def __init__(self, other: Callable[[], None]) -> None:
        self.times: dict[str, list[float]] = {"funcflow": [], LOOP: []}
        self._other = other

    def on_epoch_begin(self, run: train.Run) -> None:
        self._begun = perf_counter()

    def on_epoch_end(self, run: train.Run) -> None:
        ended = perf_counter()
        self._other()
        self.times["funcflow"].append(ended - self._begun)
        self.times[LOOP].append(perf_counter() - ended)


def fit_and_loop(problem: Problem, batches: int, options: Options) -> Measured:
    """Seconds for a batch in `fit`, with a bar and a metric, and in a loop by hand, in turn."""
    dataset = in_batches(problem, batches)
    alternating = Alternating(loop_by_hand(problem, dataset))
    with redirect_stderr(Terminal()):
        train.fit(
            problem.init(),
            dataset,
            objective=objective(problem),
            optimizer=optimizer(problem),
            epochs=options.rounds + 1,  # the first one compiles
            metrics=METRICS,
            callbacks=[alternating],
        )
    return {name: statistics.median(t[1:]) / batches for name, t in alternating.times.items()}


# --- what data costs ------------------------------------------------------------------------


@ff.jit
def augmented(key: Any, images: Any) -> Any:
    """Each image of a batch moved and, one of two, mirrored."""
    shift = partial(data.random_shift, height=SHIFT, width=SHIFT)
    return data.batched(data.compose(shift, data.random_flip_left_right))(key, images)


def pipeline(batches: int) -> data.Dataset:
    """Shuffled, augmented batches, made ahead of the loop."""

    def augment(key: Any, batch: Any) -> Any:
        images, labels = batch
        return augmented(key, images), labels

    return in_batches(CNN, batches).map(augment, ff.random.key(1)).prefetch(AHEAD)


class Waits:
    """Counts the seconds in which a loop waits for the next item."""

    seconds = 0.0

    def watch(self, items: Iterator[Any]) -> Iterator[Any]:
        while True:
            begun = perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.seconds += perf_counter() - begun
            yield item


def waits_for_data(batches: int, options: Options) -> Measured:
    """Seconds for a batch of a training, and the same without the time it waits for batches."""
    dataset = pipeline(batches)
    step = train.train_step(objective(CNN), optimizer(CNN), METRICS)
    state = train.create_state(CNN.init(), optimizer(CNN))
    totals, rests = list[float](), list[float]()
    for epoch in range(options.rounds + 1):
        waits, running, begun = Waits(), train.empty(METRICS), perf_counter()
        for batch in waits.watch(dataset.epoch(epoch)):
            state, running, _ = step(state, running, batch)
        totals.append(perf_counter() - begun)
        rests.append(totals[-1] - waits.seconds)
    samples = {"funcflow": totals, WITHOUT_WAITS: rests}
    return {name: statistics.median(times[1:]) / batches for name, times in samples.items()}


def tables(quick: bool) -> list[Table]:
    batches = QUICK_BATCHES if quick else BATCHES
    small = QUICK_BATCHES if quick else SMALL_BATCHES
    cnn = f"image CNN, {CNN.batch_size} of {CNN.size}x{CNN.size}x3"
    rows = [
        Row("fit, a bar and a metric", cnn, 1.02, partial(fit_and_loop, CNN, batches)),
        Row(
            "fit, a bar and a metric",
            f"MLP 64-64-10, batch {DIGITS.batch_size}",
            1.1,
            partial(fit_and_loop, DIGITS, small),
        ),
        Row("input pipeline, shift and flip", cnn, 1.02, partial(waits_for_data, batches)),
    ]
    return [Table("fitting", rows)]


if __name__ == "__main__":
    comparison.main("Training loop", tables, rounds=11)
