"""Trees taken apart level by level, against optree."""

import collections

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.transforms.levels import in_order_of, levels


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


@pytest.mark.parametrize("args", TREES)
def test_the_leaves_are_those_of_optree(args):
    found = levels(args)
    assert found is not None
    expected, tree = ff.tree.flatten((args, {}))
    got = in_order_of(tree)(found[1])
    assert isinstance(got, tuple)
    assert len(got) == len(expected)
    assert all(x is y for x, y in zip(got, expected, strict=True))


def test_different_trees_have_different_structures():
    more = [
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
        ([B],),  # an Array, where A is NumPy's
        ([{"a": A}, {"b": A}],),
        ([{"a": A, "b": A}, {}],),
    ]
    trees = TREES + more
    structures = [levels(x)[0] for x in trees]
    assert len(set(structures)) == len(trees)


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
    assert levels((tree,)) is None
    assert levels((A, [tree])) is None


def test_trees_that_contain_themselves_end():
    tree = [A]
    tree.append(tree)
    assert levels((tree,)) is None
    wide = []
    wide += [wide] * 100
    assert levels((wide,)) is None
