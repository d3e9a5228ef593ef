"""What is remembered of one jaxpr serves another exactly if fusion would find the same groups."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.backends.passes import fusion_memo
from funcflow.backends.passes.fuse import Fusion, Partition
from funcflow.backends.passes.fusion_memo import partition
from funcflow.backends.passes.groups import Group
from funcflow.backends.pipeline import prepare
from funcflow.core.jaxpr import Jaxpr
from funcflow.testing.random_programs import random_program


@pytest.fixture(autouse=True)
def forget():
    fusion_memo._known.clear()


def prepared(f: Callable[..., Any], *shapes: tuple[int, ...]) -> Jaxpr:
    *_, last = prepare(ff.make_jaxpr(f)(*[np.zeros(shape, "f4") for shape in shapes])).values()
    return last.jaxpr


def parts(found: Partition) -> list[Any]:
    """All that lowering reads."""
    nodes = [
        (type(node), node.number, node.eqns, node.ancestors)
        + (
            (node.extents, node.reduced, node.blocked, node.places, node.operand_places)
            if isinstance(node, Group)
            else ()
        )
        for node in found.nodes
    ]
    return [nodes, found.virtual, found.apart]


def is_known(jaxpr: Jaxpr) -> bool:
    """Whether nothing new has to be found out; what is found is what fusion finds."""
    found = partition(jaxpr)
    assert parts(found) == parts(Fusion(jaxpr))
    return not isinstance(found, Fusion)


def softmax(x: Any) -> Any:
    e = fnp.exp(x - fnp.max(x, -1, keepdims=True))
    return e / fnp.sum(e, -1, keepdims=True)


def outer(x: Any, y: Any) -> Any:
    return fnp.sin(x)[:, None] + fnp.cos(y)


FUNCTIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "softmax": (softmax, "mn"),
    "softmax's derivative": (ff.grad(lambda x: fnp.sum(softmax(x) * x)), "mn"),
    "rows and columns": (lambda x, y: fnp.sum(x * y, 0) + fnp.sum(x, 0) * y, "mn n"),
    "outer": (outer, "m n"),
    "outer's derivative": (ff.grad(lambda x, y: fnp.sum(outer(x, y) ** 2)), "m n"),
    "two axes at once": (lambda x: fnp.sin(x) + fnp.cos(x).T, "mm"),
    "layers": (lambda x, w: fnp.mean((fnp.tanh(x @ w) @ w) ** 2), "mn nn"),
    "other shapes": (lambda x: fnp.sum(fnp.exp(x).reshape(-1), keepdims=True) * x, "mn"),
    "complex": (lambda x, y: abs(fnp.exp(1j * x) * (1 + 1j * y)), "mn n"),
}


@given(st.data(), st.sampled_from(sorted(FUNCTIONS)))
@settings(max_examples=60)
def test_any_extents(data: st.DataObject, name: str) -> None:
    f, axes = FUNCTIONS[name]
    for _ in range(4):
        sizes = {a: data.draw(st.sampled_from([0, 1, 2, 3, 40, 300, 1200]), a) for a in "mn"}
        is_known(prepared(f, *(tuple(sizes[a] for a in shape) for shape in axes.split())))


@pytest.mark.parametrize("seed", range(30))
def test_random_programs(seed: int) -> None:
    *_, last = prepare(random_program(seed).jaxpr).values()
    assert not is_known(last.jaxpr)
    assert is_known(last.jaxpr)


def test_extents_that_decide_nothing_do_not_count() -> None:
    assert not is_known(prepared(softmax, (5, 7)))
    assert is_known(prepared(softmax, (6, 8)))


@pytest.mark.parametrize(
    ("shape", "other"),
    [((5, 7), (5, 5)), ((5, 7), (5, 1)), ((5, 7), (0, 7)), ((5, 7), (300_000, 7))],
    ids=["equal", "one", "none", "many elements"],
)
def test_extents_that_decide_count(shape: tuple[int, int], other: tuple[int, int]) -> None:
    f = FUNCTIONS["rows and columns"][0]
    for m, n in (shape, other):
        assert not is_known(prepared(f, (m, n), (n,)))


def test_the_larger_group_is_joined() -> None:
    assert not is_known(prepared(outer, (5,), (7,)))
    assert not is_known(prepared(outer, (7,), (5,)))
    assert is_known(prepared(outer, (6,), (8,)))


def test_dtypes_and_axes_count() -> None:
    functions = [
        lambda x: fnp.sum(x, 0),
        lambda x: fnp.sum(x, 1),
        lambda x: fnp.sum(x.astype("f8"), 0),
        lambda x: fnp.max(x, 0),
    ]
    assert not any(is_known(prepared(f, (5, 7))) for f in functions)


def test_what_is_not_used_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion_memo, "_MOST_KEYS", 2)
    for axes in (0, 1, (0, 1)):
        is_known(prepared(lambda x, axes=axes: fnp.sum(x, axes), (5, 7)))
    assert len(fusion_memo._known) == 2
