"""Groups: which equations share a loop nest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.passes.fuse import Fusion
from funcflow.backends.passes.groups import Alias, Alone, Group
from funcflow.backends.pipeline import prepare
from funcflow.core.jaxpr import Var
from funcflow.core.rewrite import dce_closed

X = np.ones((8, 32), "f4")


def prepared(f, *args):
    return prepare(ff.make_jaxpr(f)(*args))["dce"].jaxpr


def fused(f, *args) -> Fusion:
    return Fusion(prepared(f, *args))


def kinds(f, *args):
    return [type(node).__name__.lower() for node in fused(f, *args).nodes]


# --- groups in words ------------------------------------------------------------------------------


def softmax(x):
    shifted = fnp.exp(x - fnp.max(x, -1, keepdims=True))
    return shifted / fnp.sum(shifted, -1, keepdims=True)


def layer_norm(x, scale, shift):
    centred = x - fnp.mean(x, -1, keepdims=True)
    variance = fnp.mean(centred * centred, -1, keepdims=True)
    return centred * lax.rsqrt(variance + 1e-5) * scale + shift


def test_groups_of_common_functions(golden):
    row = np.ones(32, "f4")
    functions = {
        "softmax": (softmax, X),
        "softmax's derivative": (ff.grad(lambda x, ct: fnp.sum(softmax(x) * ct)), X, X),
        "layer norm": (layer_norm, X, row, row),
        "sum of all": (fnp.sum, np.ones((64, 1024), "f4")),
        "masked": (lambda x: fnp.where(fnp.tril(fnp.ones((32, 32), dtype=bool)), x, 0), X[:, None]),
    }
    texts = [f"-- {name}\n{fused(f, *args)}\n" for name, (f, *args) in functions.items()]
    golden("fuse.txt", "\n".join(texts))


def test_softmax_and_layer_norm_are_one_group():
    assert kinds(softmax, X) == ["group"]
    assert kinds(layer_norm, X, X[0], X[0]) == ["group"]
    assert kinds(ff.grad(lambda x, ct: fnp.sum(softmax(x) * ct)), X, X) == ["group"]


# --- what is apart --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: fnp.sort(x) + 1, ["alone", "group"]),
        (lambda x: lax.rev(x, (0,)), ["alias"]),
        (lambda x: fnp.exp(lax.rev(x, (0,))), ["alias", "group"]),
        (lambda x: lax.reshape(fnp.exp(x), (256,)) * 2, ["group", "alias", "group"]),
        (lambda x: x.T + fnp.exp(x).T, ["alias", "group"]),
        (lambda x: fnp.exp(x).sum(0).sum(), ["group", "group"]),
        (lambda x: fnp.exp(x[:0]), ["alone", "alone"]),
        (lambda x: fnp.tanh(x.astype("complex64")), ["group", "alone", "alone"]),
        (lambda x: x.astype("complex64") * 2, ["group", "alone"]),
    ],
)
def test_kinds_of_nodes(f, expected):
    assert kinds(f, X) == expected


def test_a_sum_to_few_results_is_cut_into_blocks_and_its_result_used_apart():
    x = np.ones((64, 1024), "f4")
    first, *rest = fused(lambda x: x / fnp.sum(x), x).nodes
    assert isinstance(first, Group)
    assert first.blocked
    assert [type(node) for node in rest] == [Group]


@pytest.mark.parametrize(
    ("shape", "axes", "blocked"),
    [
        ((1024, 64), (0,), True),
        ((8, 16, 16, 64), (0, 1, 2), True),
        ((1024, 64, 1), (0,), True),
        ((64, 1024), (1,), False),  # rows, one for each thread in turn
        ((8, 64, 256), (0, 2), False),
        ((256, 64), (0,), False),  # too little work
        ((32, 2048), (0,), False),  # too many columns
    ],
)
def test_sums_of_columns_are_cut_into_blocks_of_rows(shape, axes, blocked):
    (group,) = fused(lambda x: lax.reduce_sum(lax.exp(x), axes), np.ones(shape, "f4")).nodes
    assert isinstance(group, Group)
    assert group.blocked == blocked


def test_a_group_does_not_grow_without_end():
    def f(x):
        for _ in range(200):
            x = fnp.floor(x * 1.5)
        return x

    sizes = [len(node.eqns) for node in fused(f, X).nodes]
    assert len(sizes) > 1
    assert max(sizes) <= 161


def test_reductions_along_axes_of_extent_1_are_not_taken_for_others():
    """They leave all axes of a group, as if it were not reduced."""

    def f(x):
        return lax.reduce_max(lax.sub(x, lax.reduce_max(x, (1,))[:, None]), (0,))

    closed = ff.make_jaxpr(f)(X[:, :1])
    for node in Fusion(dce_closed(closed).jaxpr).nodes:
        if isinstance(node, Group) and node.reduced:
            assert len(node.operand_places) == 1


def test_effects_keep_their_order():
    def f(x):
        ff.debug.print("first {}", x[0, 0])
        y = x * 2
        ff.debug.print("second")
        ff.debug.print("third {}", y[0, 0])
        return y

    jaxpr = prepared(f, X)
    order = [eqn for node in Fusion(jaxpr).nodes for eqn in node.eqns if eqn.effects]
    assert order == [eqn for eqn in jaxpr.eqns if eqn.effects]
    assert len(order) == 3


# --- laws -----------------------------------------------------------------------------------------


def random_fusion(programs, seed):
    closed = prepare(programs.random_jaxpr(seed, 20))["dce"]
    return closed.jaxpr, Fusion(closed.jaxpr)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_each_equation_is_in_one_node_and_nodes_follow_what_they_need(programs, seed):
    jaxpr, fusion = random_fusion(programs, seed)
    homes = [*fusion.virtual.values(), *(e for node in fusion.nodes for e in node.eqns)]
    assert len(homes) == len(set(homes)) == len(jaxpr.eqns)
    known = {*jaxpr.invars, *jaxpr.constvars, *fusion.virtual}
    for node in fusion.nodes:
        inside = {v for eqn in node.eqns for v in eqn.outvars}
        for eqn in node.eqns:
            needed = {v for v in eqn.invars if isinstance(v, Var)}
            assert needed <= known | inside
        known |= inside


@given(seed=st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_every_value_of_a_group_has_a_place_that_fits_its_shape(programs, seed):
    _, fusion = random_fusion(programs, seed)
    for node in fusion.nodes:
        if not isinstance(node, Group):
            assert isinstance(node, Alias | Alone)
            assert len(node.eqns) == 1
            continue
        assert {v for e in node.eqns for v in e.outvars} == node.places.keys()
        assert node.reduced <= node.extents.keys()
        for v, place in node.places.items():
            extents = [1 if a is None else node.extents[a] for a in place]
            assert tuple(extents) == v.aval.shape
            axes = [a for a in place if a is not None]
            assert len(axes) == len(set(axes))


def test_both_parts_of_complex_values_are_in_one_kernel():
    z = X + 1j * X
    assert kinds(lambda z, w: z * w + fnp.conj(z), z, z) == ["alias"] * 4 + ["group", "alone"]
    assert kinds(lambda z: fnp.abs(z.real.T) + z.imag.T, z) == ["alias"] * 4 + ["group"]
