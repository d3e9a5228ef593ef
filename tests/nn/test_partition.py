import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.core.errors import ArgumentError, TreeStructureError

leaves = st.integers() | st.floats(allow_nan=False)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@pytest.fixture
def model():
    return nn.Sequential([nn.Linear(3, 4, key=ff.random.key(0)), nn.BatchNorm(4), nn.relu])


@given(trees, st.booleans())
def test_the_parts_make_the_whole(tree, inverse):
    parts = nn.partition(tree, lambda x: isinstance(x, int))
    assert nn.combine(*parts) == tree
    assert nn.combine(*reversed(parts)) == tree
    assert nn.filter(tree, lambda x: isinstance(x, int), inverse) == parts[inverse]
    assert all(isinstance(x, int) for x in ff.tree.leaves(parts[0]))


def test_buffers_are_not_trainable(model):
    parameters, rest = nn.partition(model, nn.trainable(model))
    names = [ff.tree_util.keystr(path) for path, _ in ff.tree_util.tree_leaves_with_path(rest)]
    assert names == [".layers[1].mean", ".layers[1].var"]
    assert len(ff.tree.leaves(parameters)) == 4


def test_a_part_can_be_differentiated(model):
    parameters, rest = nn.partition(model, nn.trainable(model))
    x = fnp.ones((2, 3))
    gradients = ff.grad(lambda p: nn.combine(p, rest)(x).sum())(parameters)
    assert gradients.layers[1].mean is None
    assert gradients.layers[0].kernel.shape == (3, 4)


def test_a_filter_may_be_a_prefix(model):
    frozen = nn.tree_at(lambda m: m.layers[0], nn.trainable(model), False)
    parameters, _ = nn.partition(model, frozen)
    assert parameters.layers[0].kernel is None
    assert parameters.layers[1].scale is not None


def test_a_filter_of_another_tree_is_refused(model):
    with pytest.raises(TreeStructureError, match="no prefix of the tree: at the top"):
        nn.partition(model, [True])


def test_integers_are_not_trainable():
    assert nn.trainable({"a": fnp.arange(2), "b": fnp.ones(2), "c": 1.0}) == {
        "a": False,
        "b": True,
        "c": False,
    }


def test_tree_at_replaces_one_part(model):
    new = nn.tree_at(lambda m: m.layers[0].bias, model, replace=fnp.ones(4))
    np.testing.assert_array_equal(new.layers[0].bias, np.ones(4))
    np.testing.assert_array_equal(model.layers[0].bias, np.zeros(4))
    assert new.layers[0].kernel is model.layers[0].kernel


def test_tree_at_replaces_several_parts_subtrees_and_none():
    tree = {"a": (1, 2), "b": None, "c": [3]}
    assert nn.tree_at(lambda t: (t["a"], t["b"]), tree, ("x", "y")) == {
        "a": "x",
        "b": "y",
        "c": [3],
    }
    assert nn.tree_at(lambda t: t["a"], tree, replace_fn=sum)["a"] == 3
    # a tuple that is a node of the tree is one part
    assert nn.tree_at(lambda t: t["a"], tree, None)["a"] is None


def test_tree_at_tells_equal_leaves_apart():
    one = fnp.ones(2)
    new = nn.tree_at(lambda t: t[1], [one, one], 5)
    assert new[0] is one and new[1] == 5


@pytest.mark.parametrize(
    ("where", "arguments", "message"),
    [
        (lambda m: m.layers[1].momentum, {"replace": 0.5}, "no part of the tree"),
        (lambda m: (m.layers[0], m.layers[1]), {"replace": (1,)}, "2 parts to replace, 1 new"),
        (lambda m: m.layers, {}, "give one of replace and replace_fn"),
    ],
)
def test_tree_at_refuses(model, where, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        nn.tree_at(where, model, **arguments)
