"""Trees taken apart by functions written for one like them, against optree."""

import collections
import dataclasses
from functools import partial
from typing import Any

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.transforms.tree_walk import ARRAYS, walker


def arrays(n):
    return [fnp.full(2, i) if i % 2 else np.full(2, i) for i in range(n)]


@ff.tree_util.register_pytree_node_class
class Node(list):
    def tree_flatten(self):
        return tuple(self), len(self)

    @classmethod
    def tree_unflatten(cls, aux, children):
        return cls(children)


Pair = collections.namedtuple("Pair", "x y")


@ff.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Layer:
    kernel: Any
    bias: Any
    size: Any = dataclasses.field(default=1, metadata={"static": True})


@partial(ff.tree_util.register_dataclass, data_fields=["b", "a"], meta_fields=[])
@dataclasses.dataclass
class Turned:
    a: Any
    b: Any


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
    ([Layer(A, None, 2), Layer(B, C, "same")], Layer(Pair(D, [E]), ())),
    (Turned(A, Turned(B, C)), {"k": Turned(None, D)}),
    (Node([A, Node([B]), Node()]), ff.tree_util.Partial(max, C, key=D)),
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
    (Pair(A, B),),
    (Node([A, B]),),
    (Layer(A, B),),
    (Layer(A, B, 2),),
    (Layer(A, [B]),),
    (Turned(A, B),),
]


@pytest.mark.parametrize("args", TREES)
def test_the_leaves_are_those_of_optree(args):
    got, expected = walker(args)(args), ff.tree.leaves(args)
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


@pytest.mark.parametrize(
    "tree",
    [
        collections.OrderedDict(a=A),
        collections.deque([A]),
        Layer(A, 1.0),
        1.0,
        np.float32(1),
        "text",
        object(),
    ],
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
