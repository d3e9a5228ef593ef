"""Pytrees: the functions of `jax.tree_util`, and errors that name the key path."""

import collections
import dataclasses
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as hst

from funcflow.core import pytree, registration
from funcflow.core.errors import TreeStructureError
from funcflow.core.pytree import (
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    SequenceKey,
    keystr,
    structure_difference,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_structure,
    tree_unflatten,
)
from funcflow.testing import strategies as st


class Point(NamedTuple):
    x: Any
    y: Any


@registration.register_dataclass
@dataclasses.dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any
    name: str = dataclasses.field(default="", metadata={"static": True})


class Pair:
    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.second = first, second


registration.register_pytree_node(
    Pair, lambda p: ((p.first, p.second), "aux"), lambda aux, children: Pair(*children)
)


@registration.register_pytree_with_keys_class
class Keyed:
    def __init__(self, value: Any) -> None:
        self.value = value

    def tree_flatten_with_keys(self) -> Any:
        return [(GetAttrKey("value"), self.value)], None

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> Any:
        return cls(*children)


@registration.register_pytree_node_class
class Box:
    def __init__(self, content: Any) -> None:
        self.content = content

    def tree_flatten(self) -> Any:
        return (self.content,), None

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> Any:
        return cls(*children)


trees = st.pytrees(hst.integers())


@given(trees)
def test_unflatten_inverts_flatten(tree):
    leaves, treedef = tree_flatten(tree)
    assert tree_unflatten(treedef, leaves) == tree
    assert tree_leaves(tree) == leaves
    assert tree_structure(tree) == treedef
    assert treedef.num_leaves == len(leaves)


@given(trees)
def test_paths_lead_to_the_leaves(tree):
    for path, leaf in pytree.tree_leaves_with_path(tree):
        found = tree
        for key in path:
            found = found[key[0]]
        assert found == leaf


@given(trees)
def test_map(tree):
    doubled = tree_map(lambda x, y: x + y, tree, tree)
    assert tree_leaves(doubled) == [2 * x for x in tree_leaves(tree)]
    assert tree_structure(doubled) == tree_structure(tree)


@pytest.mark.parametrize(
    ("tree", "leaves", "paths"),
    [
        (1, [1], [""]),
        (None, [], []),
        ({"b": 1, "a": [2, None, 3]}, [2, 3, 1], ["['a'][0]", "['a'][2]", "['b']"]),
        ({2: "x", 1: "y"}, ["y", "x"], ["[1]", "[2]"]),
        (collections.OrderedDict(b=1, a=2), [1, 2], ["['b']", "['a']"]),
        (collections.defaultdict(list, a=1), [1], ["['a']"]),
        (Point(1, (2,)), [1, 2], [".x", ".y[0]"]),
        (Layer([1], 2), [1, 2], [".weight[0]", ".bias"]),
        (Pair(1, [2]), [1, 2], ["[<flat index 0>]", "[<flat index 1>][0]"]),
        (Keyed(1), [1], [".value"]),
        (Box([1]), [1], ["[<flat index 0>][0]"]),
        (collections.deque([1, 2]), [1, 2], ["[0]", "[1]"]),
    ],
)
def test_nodes(tree, leaves, paths):
    keyed, treedef = pytree.tree_flatten_with_path(tree)
    assert [leaf for _, leaf in keyed] == leaves == tree_leaves(tree)
    assert [keystr(path) for path, _ in keyed] == paths
    again = treedef.unflatten(leaves)
    assert type(again) is type(tree)
    assert tree_structure(again) == treedef


def test_keys():
    keys = (SequenceKey(1), DictKey("a"), GetAttrKey("b"), FlattenedIndexKey(0))
    assert (keys[0].idx, keys[1].key, keys[2].name, keys[3].key) == (1, "a", "b", 0)
    assert keystr(keys) == "[1]['a'].b[<flat index 0>]"
    assert keystr(keys[:3], simple=True, separator="/") == "1/a/b"


def test_is_leaf():
    tree = [(1, 2), None, (3,)]
    assert tree_leaves(tree, is_leaf=lambda x: isinstance(x, tuple)) == [(1, 2), (3,)]
    assert tree_leaves(tree, is_leaf=lambda x: x is None) == [1, 2, None, 3]
    assert tree_map(len, tree, is_leaf=lambda x: isinstance(x, tuple)) == [2, None, 1]


def test_map_with_deeper_trees():
    assert tree_map(lambda x, y: (x, y), [1, 2], [(3, 4), {}]) == [(1, (3, 4)), (2, {})]


def test_map_with_path():
    tree = {"a": [1, 2]}
    found = pytree.tree_map_with_path(lambda p, x, y: (keystr(p), x + y), tree, tree)
    assert found == {"a": [("['a'][0]", 2), ("['a'][1]", 4)]}


def test_reduce_and_all():
    assert pytree.tree_reduce(lambda x, y: x - y, [10, (2, 3)]) == 5
    assert pytree.tree_reduce(lambda x, y: x - y, [2, 3], 10) == 5
    assert pytree.tree_reduce(lambda x, y: x, [], None) is None
    assert pytree.tree_all([1, (True,)])
    assert not pytree.tree_all({"a": 0})


def test_transpose():
    outer, inner = tree_structure([0, 0]), tree_structure({"a": 0, "b": 0})
    tree = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    expected = {"a": [1, 3], "b": [2, 4]}
    assert pytree.tree_transpose(outer, inner, tree) == expected
    assert pytree.tree_transpose(outer, None, tree) == expected
    with pytest.raises(TreeStructureError, match="tree_transpose"):
        pytree.tree_transpose(outer, inner, tree[:1])


def test_treedefs():
    leaf, pair = tree_structure(0), tree_structure((0, [0]))
    assert pytree.treedef_is_leaf(leaf)
    assert not pytree.treedef_is_leaf(pair)
    assert pytree.treedef_tuple([leaf, tree_structure([0])]) == pair
    assert pytree.treedef_children(pair) == [leaf, tree_structure([0])]
    assert pytree.all_leaves([1, "a"])
    assert not pytree.all_leaves([1, (2,)])


@pytest.mark.parametrize(
    ("node", "children", "aux"),
    [
        (None, (), None),
        ((1, [2]), (1, [2]), None),
        ({"b": 1, "a": {"c": 2}}, ({"c": 2}, 1), ("a", "b")),
        (collections.OrderedDict(b=1, a=2), (1, 2), ("b", "a")),
        (collections.defaultdict(list, b=1), (1,), (list, ("b",))),
        (Point(1, 2), (1, 2), Point),
        (Layer(1, 2, "first"), (1, 2), ("first",)),
    ],
)
def test_flatten_one_level(node, children, aux):
    assert pytree.flatten_one_level(node) == (children, aux)
    hash(aux)


def test_a_leaf_has_no_children():
    with pytest.raises(TreeStructureError, match="flatten_one_level: a leaf of type int"):
        pytree.flatten_one_level(3)


def test_prefixes():
    tree = {"a": [1, 2], "b": 3}
    assert pytree.broadcast_prefix({"a": "x", "b": "y"}, tree) == ["x", "x", "y"]
    assert pytree.tree_broadcast({"a": 0, "b": 1}, tree) == {"a": [0, 0], "b": 1}


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        (0, [0, 0, 0]),
        (None, [None] * 3),
        ((0, 1), [0, 0, 1]),
        ((None, 1), [None, None, 1]),
        (({"a": 0, "b": None}, 1), [0, None, 1]),
    ],
)
def test_flatten_axes(axes, expected):
    treedef = tree_structure(({"a": 1, "b": 2}, 3))
    assert pytree.flatten_axes("in_axes", treedef, axes) == expected


@pytest.mark.parametrize("axes", [(0,), (0, 1, 2), [0, 0], ({"a": 0}, 1)])
def test_axes_that_do_not_fit(axes):
    with pytest.raises(TreeStructureError, match="in_axes"):
        pytree.flatten_axes("in_axes", tree_structure(({"a": 1, "b": 2}, 3)), axes)


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        ({"a": (1, [2, 3])}, {"a": (1, [2])}, "at ['a'][1]: expected children [0], [1], got [0]"),
        ({"a": 1}, {"b": 1}, "at the top: expected children ['a'], got ['b']"),
        ([1, 2], (1, 2), "at the top: expected a list, got a tuple"),
        ([1], 1, "at the top: expected a list, got a leaf (int)"),
        ([None], [1], "at [0]: expected None, got a leaf (int)"),
        (Point(1, [2]), Point(1, 2), "at .y: expected a list, got a leaf (int)"),
        ([Layer(1, [2])], [Layer(1, {})], "at [0].bias: expected a list, got a dict"),
    ],
)
def test_differences_name_the_path(expected, got, words):
    assert structure_difference(expected, got) == words
    assert structure_difference(expected, expected) == ""


def test_differences_in_static_fields():
    found = structure_difference([Layer(1, 2, "a")], [Layer(1, 2, "b")])
    assert found.startswith("at [0]: expected")
    assert "'a'" in found


def test_map_names_the_tree_and_the_path():
    with pytest.raises(TreeStructureError, match=r"tree 2 .* at \['b'\]: expected a list"):
        tree_map(lambda *xs: xs, {"b": [1]}, {"b": [2]}, {"b": 3})


def test_errors_of_the_mapped_function_pass_through():
    def refuse(*xs):
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        tree_map(refuse, [1], [(2, 3)])
