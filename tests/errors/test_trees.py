"""Trees of the wrong structure, and leaves that are no arrays."""

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax

X = fnp.ones(3)


class Thing:
    def __repr__(self):
        return "<a thing>"


# --- structures -------------------------------------------------------------------------------


def test_tangents_of_another_structure(refuses):
    refuses(
        errors.TreeStructureError,
        lambda: ff.jvp(lambda p: p["a"], ({"a": 1.0},), ({"b": 1.0},)),
        "jvp:", "at [0]", "['a']", "['b']",
    )  # fmt: skip


def test_cotangents_of_another_structure(refuses):
    pull = ff.vjp(lambda x: {"y": x}, X)[1]
    refuses(errors.TreeStructureError, lambda: pull({"z": X}), "f_vjp:", "['y']", "['z']")


def test_tangents_and_cotangents_of_another_type(refuses):
    def push(tangent):
        return ff.jvp(lambda p: p["w"], ({"w": X},), ({"w": tangent},))

    def call():
        return push(fnp.ones(4))

    refuses(errors.ShapeError, call, "jvp:", "tangents[0]['w']", "(4,)", "(3,)")
    pull = ff.vjp(lambda x: {"y": x}, X)[1]
    call = lambda: pull({"y": fnp.ones(4)})  # noqa: E731
    refuses(errors.ShapeError, call, "f_vjp:", "cotangent['y']", "f32[4]", "f32[3]")


def test_trees_to_map_together(refuses):
    refuses(
        errors.TreeStructureError,
        lambda: ff.tree.map(lambda a, b: a, {"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 2, 3]}),
        "tree_map:", "tree 1", "at ['b']", "[0], [1]", "[0], [1], [2]",
    )  # fmt: skip


def test_leaves_that_do_not_fill_a_tree(refuses):
    treedef = ff.tree.structure([1, 2])
    call = lambda: ff.tree.unflatten(treedef, [1])  # noqa: E731
    refuses(errors.TreeStructureError, call, "tree_unflatten:", "2 leaves", "got 1")


def test_axes_that_are_no_prefix(refuses):
    call = lambda: ff.vmap(lambda a: a, in_axes=({"a": 0},))({"b": X})  # noqa: E731
    refuses(errors.TreeStructureError, call, "vmap of <lambda>: in_axes", "{'a': 0}", "{'b': *}")
    call = lambda: ff.vmap(lambda a: a, out_axes=(0, 0))(X)  # noqa: E731
    refuses(errors.TreeStructureError, call, "vmap of <lambda>: out_axes", "(0, 0)")
    call = lambda: ff.vmap(lambda a, b: a, in_axes=(0,))(X, X)  # noqa: E731
    refuses(errors.ArgumentError, call, "in_axes has 1 entries", "2 positional arguments")
    call = lambda: ff.vmap(lambda a: a, in_axes="0")(X)  # noqa: E731
    refuses(errors.ArgumentError, call, "in_axes", "'0' of type str", "args[0]")


def test_mapped_axes_of_different_sizes(refuses):
    refuses(
        errors.ShapeError,
        lambda: ff.vmap(lambda d: d)({"a": X, "b": [fnp.ones(4)]}),
        "vmap of <lambda>:", "args[0]['a'] has 3", "args[0]['b'][0] has 4",
    )  # fmt: skip


def test_branches_that_differ(refuses):
    call = lambda: lax.cond(True, lambda x: x, lambda x: (x, x), 1.0)  # noqa: E731
    refuses(errors.TreeStructureError, call, "cond:", "a tuple", "a leaf (f32[])")
    call = lambda: lax.cond(True, lambda x: x, lambda x: x.astype(int), 1.0)  # noqa: E731
    refuses(errors.TreeStructureError, call, "cond:", "i32[] and f32[]")


def test_carries(refuses):
    start = {"w": X}
    refuses(
        errors.CarryTypeError,
        lambda: lax.scan(lambda c, x: ({"w": c["w"][:2]}, x), start, X),
        "scan: <lambda>", "carry['w']", "f32[3]", "f32[2]", "given:", "returned:",
    )  # fmt: skip
    refuses(
        errors.CarryTypeError,
        lambda: lax.while_loop(lambda c: c < 3, lambda c: c + 1.5, fnp.int32(0)),
        "while_loop: <lambda>", "i32[]", "f32[]",
    )  # fmt: skip
    refuses(
        errors.CarryTypeError,
        lambda: lax.fori_loop(0, 3, lambda i, c: [c], 0.0),
        "fori_loop: <lambda>", "at the top", "a leaf (f32[])", "a list",
    )  # fmt: skip


def test_what_a_body_must_return(refuses):
    call = lambda: lax.scan(lambda c, x: c, 0.0, X)  # noqa: E731
    refuses(errors.TreeStructureError, call, "scan: <lambda>", "pair (carry, y)", "f32[]")
    call = lambda: ff.grad(lambda x: x, has_aux=True)(1.0)  # noqa: E731
    refuses(errors.TreeStructureError, call, "<lambda> returned", "has_aux=True", "pair")


# --- leaves -----------------------------------------------------------------------------------


def test_arguments_that_are_no_arrays(refuses):
    words = ("which is neither an array nor a number", "static")
    call = lambda: ff.jit(lambda d: d)({"a": [1, Thing()]})  # noqa: E731
    refuses(errors.LeafTypeError, call, "jit of <lambda>: the argument args[0]['a'][1]", *words)
    call = lambda: ff.jit(lambda x, mode: x)(1.0, mode="fast")  # noqa: E731
    refuses(errors.LeafTypeError, call, "kwargs['mode'] is 'fast' of type str", *words)
    call = lambda: ff.grad(lambda x: x)({"w": "text"})  # noqa: E731
    refuses(errors.LeafTypeError, call, "grad of <lambda>: the argument args[0]['w']", *words)
    call = lambda: ff.vmap(lambda x: x)(["text"])  # noqa: E731
    refuses(errors.LeafTypeError, call, "vmap of <lambda>: the argument args[0][0]", *words)
    call = lambda: lax.scan(lambda c, x: (c, x), {"w": "text"}, X)  # noqa: E731
    refuses(errors.LeafTypeError, call, "scan: the argument args[0]['w']", *words)


def test_results_that_are_no_arrays(refuses):
    words = ("'text' of type str", "neither an array nor a number")
    call = lambda: ff.jit(lambda x: {"y": "text"})(1.0)  # noqa: E731
    refuses(errors.LeafTypeError, call, "the result of <lambda>['y'] is", *words)
    call = lambda: ff.grad(lambda x: "text")(1.0)  # noqa: E731
    refuses(errors.LeafTypeError, call, "the result of <lambda> is", *words)


def test_operands_that_are_no_arrays(refuses):
    refuses(errors.LeafTypeError, lambda: fnp.sin([1.0]), "sin:", "list at position 0")
    refuses(errors.LeafTypeError, lambda: fnp.add(X, None), "add:", "NoneType at position 1")
    refuses(errors.LeafTypeError, lambda: lax.sin(None), "sin: argument 0 is None")
    refuses(errors.LeafTypeError, lambda: lax.add(X, "text"), "add: argument 1 is 'text'")
    call = lambda: ff.jit(lambda x: lax.add(x, "text"))(X)  # noqa: E731
    refuses(errors.LeafTypeError, call, "add: argument 1 is 'text'")
    refuses(errors.LeafTypeError, lambda: fnp.array([Thing()]), "array:", "[0] is <a thing>")


def test_what_is_no_key(refuses):
    refuses(errors.LeafTypeError, lambda: ff.random.normal(3, (2,)), "normal:", "a key", "int 3")


def test_numpy_arrays_of_objects(refuses):
    things = np.array([Thing()])
    refuses(errors.DtypeError, lambda: fnp.sin(things), "object", "not supported")
