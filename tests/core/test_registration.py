"""Registered classes: what of an instance is a child, and what is structure."""

import collections
import dataclasses
from typing import Any, NamedTuple

import pytest

import funcflow as ff
from funcflow.core import registration
from funcflow.core.errors import ArgumentError
from funcflow.core.pytree import tree_flatten, tree_leaves, tree_map, tree_structure
from funcflow.core.registration import Partial


class Point(NamedTuple):
    x: Any
    y: Any


@registration.register_dataclass
@dataclasses.dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any
    name: str = dataclasses.field(default="", metadata={"static": True})


def test_static_fields_are_structure():
    layer = Layer(1, 2, "first")
    assert tree_map(lambda x: x + 1, layer) == Layer(2, 3, "first")
    assert tree_structure(layer) != tree_structure(Layer(1, 2, "second"))


@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize("fields", [[], ["a"], ["a", "b", "c"]])
def test_dataclasses_of_any_number_of_fields(slots, fields):
    cls = dataclasses.make_dataclass("Node", fields, frozen=True, slots=slots)
    registration.register_dataclass(cls)
    values = list(range(len(fields)))
    leaves, tree = tree_flatten([cls(*values)])
    assert leaves == values
    assert tree.unflatten(leaves) == [cls(*values)]


def test_fields_that_are_properties_are_set_as_such():
    class Half:
        def __get__(self, x, owner=None):
            return 0 if x is None else x.twice / 2

        def __set__(self, x, value):
            x.twice = 2 * value

    @registration.register_dataclass
    @dataclasses.dataclass
    class Pair:
        half: Any = Half()  # noqa: RUF009
        other: Any = 0

    found = tree_map(lambda x: x + 1, Pair(1, 5))
    assert (found.twice, found.half, found.other) == (4, 2, 6)


def test_dataclass_fields_are_complete():
    @dataclasses.dataclass
    class Config:
        a: int
        b: int

    with pytest.raises(ArgumentError, match=r"Config has fields \['b'\]"):
        registration.register_dataclass(Config, data_fields=["a"], meta_fields=[])


def test_dataclasses_are_rebuilt_without_checks():
    @registration.register_dataclass
    @dataclasses.dataclass
    class Positive:
        value: Any

        def __post_init__(self) -> None:
            assert self.value > 0

    assert tree_map(lambda x: -x, Positive(1)).value == -1


def test_partial():
    add = Partial(lambda x, y, z: (x, y, z), 1, z=3)
    assert tree_leaves(add) == [1, 3]
    assert tree_map(lambda x: x * 10, add)(2) == (10, 2, 30)
    assert tree_structure(add) == tree_structure(Partial(add.func, 5, z=6))
    assert tree_structure(add) != tree_structure(Partial(len, 5, z=6))


@registration.register_static
class Name(str):
    pass


def test_static_classes_are_structure():
    leaves, treedef = tree_flatten([Name("a"), 1])
    assert leaves == [1] and treedef.unflatten([2]) == ["a", 2]
    assert treedef == tree_structure([Name("a"), 3]) != tree_structure([Name("b"), 1])


def test_static_classes_select_compiled_programs():
    traced = []

    @ff.jit
    def f(x, name):
        traced.append(name)
        return x

    for name in ("a", "b", "a"):
        f(1, Name(name))
    assert traced == ["a", "b"]


def test_nodes_and_leaves():
    containers = (tuple, list, dict, type(None), collections.OrderedDict, collections.defaultdict)
    for node in (*containers, Point, Layer, Name, Partial):
        assert registration.is_tree_node(node), node
    for leaf in (int, str, object, ff.Array):
        assert not registration.is_tree_node(leaf), leaf
