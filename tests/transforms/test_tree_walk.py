"""Trees taken apart by functions made of one like them, against optree."""

import collections

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.transforms.tree_walk import ARRAYS, in_order_of, walker


def arrays(n):
    return [fnp.full(2, i) if i % 2 else np.full(2, i) for i in range(n)]


A, B, C, D, E = arrays(5)
TREES = [
    (A, B),
    ({"b": A, "a": B, "c": [C, (D,)]}, E),
    ([[A, B], [C], []], {"x": {"z": D, "y": E}}),
    ({"layer2": {"w": A, "b": B}, "layer1": {"w": C, "b": D}}, None, E),
    ({}, (), [], None),
    (None, None),
    ([A, None, {"k": A}], A),
    ({2: A, "1": B, (1, 2): C},),
]


MORE = [
    ([A, B],),
    ((A, B),),
    ({"a": A, "b": B},),
    ({"b": A, "a": B},),
    ([A], B),
    ([A], [B]),
    ([], [A, B]),
    ([A, B], []),
    ([A, None],),
    ([None, A],),
    ([A],),
    ([[A]],),
    ([{"a": A}, {"b": A}],),
    ([{"a": A, "b": A}, {}],),
]


@pytest.mark.parametrize("args", TREES)
def test_the_leaves_are_those_of_optree(args):
    walk = walker(args)
    leaves = walk(args)
    expected, tree = ff.tree.flatten((args, {}))
    got = in_order_of(tree, walk)(leaves)
    assert isinstance(got, tuple)
    assert len(got) == len(expected)
    assert all(x is y for x, y in zip(got, expected, strict=True))


@pytest.mark.parametrize("args", TREES + MORE)
def test_other_structures_are_told(args):
    """Anything may stand for an array: whoever asks compares what he gets with arrays."""
    walk = walker(args)

    for other in TREES + MORE:
        leaves = walk(other)
        arrays_only = leaves is not None and all(type(x) in ARRAYS for x in leaves)
        assert arrays_only == (other is args)


@ff.tree_util.register_pytree_node_class
class Node(list):
    def tree_flatten(self):
        return tuple(self), None

    @classmethod
    def tree_unflatten(cls, aux, children):
        return cls(children)


Pair = collections.namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    "tree",
    [Node([A]), Pair(A, B), collections.OrderedDict(a=A), 1.0, np.float32(1), "text", object()],
)
def test_other_nodes_and_leaves_are_left_to_optree(tree):
    assert walker((tree,)) is None
    assert walker((A, [tree])) is None


def test_trees_that_contain_themselves_end():
    tree = [A]
    tree.append(tree)
    assert walker((tree,)) is None
    first, second = walker(([A, B],))((tree,))
    assert first is A and second is tree
