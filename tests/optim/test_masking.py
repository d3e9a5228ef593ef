"""Some of the parameters: masks, groups, weight decay; and errors that name the place."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim
from funcflow.errors import ArgumentError, TreeStructureError

PARAMS = {
    "body": [{"kernel": fnp.ones((2, 2)), "shift": fnp.ones(2)}, None],
    "head": {"kernel": fnp.ones((2, 3)), "shift": fnp.ones(3)},
}


@ff.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Model:
    """Can be called, as models can."""

    kernel: Any
    shift: Any

    def __call__(self, x):
        return x @ self.kernel + self.shift


MODEL = Model(fnp.ones((2, 2)), fnp.ones(2))


def values(tree):
    return [float(leaf.ravel()[0]) for leaf in ff.tree.leaves(tree)]


def update(tx, updates=PARAMS, params=PARAMS):
    return tx.update(updates, tx.init(params), params)[0]


@pytest.mark.parametrize(
    ("mask", "want"),
    [
        (True, [2, 2, 2, 2]),
        (False, [1, 1, 1, 1]),
        ({"body": True, "head": False}, [2, 2, 1, 1]),
        ({"body": [{"kernel": True, "shift": False}, None], "head": False}, [2, 1, 1, 1]),
        (lambda tree: ff.tree.map(lambda p: p.ndim > 1, tree), [2, 1, 2, 1]),
        (ff.tree_util.Partial(lambda flag, tree: flag, True), [2, 2, 2, 2]),
    ],
)
def test_masks(mask, want):
    got = update(optim.masked(optim.scale(2.0), mask))
    assert ff.tree.structure(got) == ff.tree.structure(PARAMS)
    assert values(got) == want


def test_masks_and_labels_that_are_models():
    got = update(optim.masked(optim.scale(2.0), Model(True, False)), MODEL, MODEL)
    assert values(got) == [2, 1]
    groups = {"a": optim.scale(2.0), "b": optim.scale(3.0)}
    assert values(update(optim.partition(groups, Model("a", "b")), MODEL, MODEL)) == [2, 3]
    assert values(update(optim.add_decayed_weights(1.0, Model(False, True)), MODEL, MODEL)) == [
        1,
        2,
    ]


def test_what_is_left_out_has_no_state():
    tx = optim.masked(optim.trace(0.9), {"body": False, "head": {"kernel": True, "shift": False}})
    assert [leaf.shape for leaf in ff.tree.leaves(tx.init(PARAMS))] == [(2, 3)]


def test_masks_work_under_jit_and_scan_and_with_missing_updates():
    def matrices(tree):
        return ff.tree.map(lambda p: p.ndim > 1, tree)

    tx = optim.masked(optim.trace(0.5), matrices)

    @ff.jit
    def twice(updates):
        def step(state, _):
            return tx.update(updates, state)[::-1]

        return ff.lax.scan(step, tx.init(PARAMS), length=2)[1]

    updates = {**PARAMS, "head": {"kernel": None, "shift": fnp.ones(3)}}
    last = ff.tree.map(lambda x: x[-1], twice(updates))
    assert last["head"]["kernel"] is None
    assert values(last) == [1.5, 1, 1]


def test_the_inner_transformation_gets_further_keywords_and_its_parameters():
    seen = []

    def inner(updates, state, params=None, **extra_args):
        seen.append((params, extra_args))
        return updates, state

    tx = optim.GradientTransformationExtraArgs(lambda params: (), inner)
    masked = optim.masked(tx, {"body": False, "head": True})
    masked.update(PARAMS, masked.init(PARAMS), PARAMS, value=1.0)
    params, extra_args = seen[0]
    assert extra_args == {"value": 1.0}
    assert params["head"]["kernel"] is PARAMS["head"]["kernel"]
    assert ff.tree.leaves(params["body"]) == []


@pytest.mark.parametrize(
    ("mask", "path"),
    [
        ({"body": True}, "the top"),
        ({"body": [True], "head": True}, r"\['body'\]"),
        ({"body": True, "head": {"kernel": True, "c": False}}, r"\['head'\]"),
        ({"body": True, "head": {"kernel": [True], "shift": False}}, r"\['head'\]\['kernel'\]"),
    ],
)
def test_masks_that_do_not_fit_name_the_key_path(mask, path):
    with pytest.raises(TreeStructureError, match=f"masked: the booleans do not fit .* at {path}"):
        optim.masked(optim.scale(2.0), mask).init(PARAMS)


# --- groups -----------------------------------------------------------------------------------

GROUPS = {"slow": optim.sgd(0.5), "fast": optim.sgd(2.0), "fixed": optim.set_to_zero()}


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        ("slow", [-0.5, -0.5, -0.5, -0.5]),
        ({"body": "fixed", "head": "fast"}, [0, 0, -2, -2]),
        ({"body": "slow", "head": {"kernel": "fast", "shift": "fixed"}}, [-0.5, -0.5, -2, 0]),
    ],
)
def test_groups(labels, want):
    for given in (labels, lambda params: labels):
        tx = optim.partition(GROUPS, given)
        assert values(update(tx)) == want
        assert values(ff.jit(tx.update)(PARAMS, tx.init(PARAMS))[0]) == want


def test_groups_by_key_path():
    def label(path, leaf):
        return "slow" if ff.tree_util.keystr(path).endswith("['kernel']") else "fixed"

    tx = optim.multi_transform(GROUPS, lambda params: ff.tree.map_with_path(label, params))
    assert values(update(tx)) == [-0.5, 0, -0.5, 0]


def test_each_group_has_a_state_of_its_own():
    tx = optim.partition({"a": optim.adam(1.0), "b": optim.sgd(1.0)}, {"body": "b", "head": "a"})
    state = tx.init(PARAMS)
    assert list(state.inner_states) == ["a", "b"]
    assert [leaf.shape for leaf in ff.tree.leaves(state.inner_states["b"])] == []
    assert len(ff.tree.leaves(state.inner_states["a"])) == 5


def test_a_label_without_a_transformation_names_the_key_path():
    tx = optim.partition(GROUPS, {"body": "slow", "head": {"kernel": "quick", "shift": "slow"}})
    with pytest.raises(ArgumentError, match=r"label 'quick' at \['head'\]\['kernel'\], only for"):
        tx.init(PARAMS)


def test_labels_that_do_not_fit_name_the_key_path():
    tx = optim.partition(GROUPS, {"body": [{"kernel": "slow", "shift": "slow"}], "head": "slow"})
    with pytest.raises(TreeStructureError, match=r"partition: the labels do not fit .* \['body'\]"):
        tx.init(PARAMS)


# --- weight decay -----------------------------------------------------------------------------


def test_weight_decay():
    tx = optim.add_decayed_weights(0.5)
    zeros = ff.tree.map(fnp.zeros_like, PARAMS)
    assert values(update(tx, zeros)) == [0.5, 0.5, 0.5, 0.5]
    tx = optim.add_decayed_weights(0.5, {"body": True, "head": False})
    assert values(update(tx, zeros)) == [0.5, 0.5, 0, 0]


def test_weight_decay_of_adamw_obeys_its_mask():
    """Without gradients nothing but the decay is left."""
    tx = optim.adamw(0.1, weight_decay=0.5, mask={"body": False, "head": True})
    got = update(tx, ff.tree.map(fnp.zeros_like, PARAMS))
    np.testing.assert_allclose(values(got), [0, 0, -0.05, -0.05], rtol=1e-6)


def test_weight_decay_needs_parameters():
    for mask in (None, True):
        tx = optim.add_decayed_weights(0.5, mask)
        with pytest.raises(ArgumentError, match="add_decayed_weights: update needs the param"):
            tx.update(PARAMS, tx.init(PARAMS))
