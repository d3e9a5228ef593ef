"""Where a loss that is NaN or infinite comes from."""

import funcflow.numpy as fnp
from funcflow import nn, random
from funcflow.core.pytree import keystr, tree_leaves_with_path
from funcflow.core.trace import Tracer
from funcflow.core.typing import PyTree
from funcflow.train.steps import Objective, TrainState


def origin_of_divergence(objective: Objective, state: TrainState, batch: PyTree) -> str:
    """What first is NaN or infinite as the loss of a batch is computed, in words.

    The loss is computed once more, operation by operation, with the keys that the step had.
    """
    for name, tree in (("the parameter", state.model), ("the batch's entry", batch)):
        path = _first_bad(tree)
        if path is not None:
            return f"{name} {path or 'itself'} is so already"
    found: list[str] = []

    def watch(call: nn.ModuleCall) -> None:
        if not found and _first_bad(call.output) is not None:
            place = keystr(call.path) or "the model itself"
            found.append(f"it first appears in what {place} ({type(call.module).__name__}) gives")

    with nn.watch_calls(watch):
        key = random.fold_in(state.key, state.step)
        nn.training(objective)(state.model, batch, key=key)
    return found[0] if found else "it first appears in the loss function"


def _first_bad(tree: PyTree) -> str | None:
    """The key path of the first array with an element that is NaN or infinite."""
    for path, leaf in tree_leaves_with_path(tree):
        known = nn.is_inexact_array(leaf) and not isinstance(leaf, Tracer)
        if known and not bool(fnp.isfinite(leaf).all()):
            return keystr(path)
    return None
