"""The carry of every loop: its type is checked, and weak types give way."""

import numpy as np
import pytest

from funcflow import lax
from funcflow.errors import CarryTypeError

F = np.float32
XS = np.ones(3, F)


def scan(body, init):
    return lax.scan(lambda c, _: (body(c), None), init, XS)[0]


def while_loop(body, init):
    return lax.while_loop(lambda _: lax.gt(np.int32(0), np.int32(1)), body, init)


def fori_loop(body, init):
    return lax.fori_loop(0, 3, lambda i, c: body(c), init)


LOOPS = [scan, while_loop, fori_loop]


def widened(c):
    return {"a": c["a"], "b": [c["b"][0], lax.convert_element_type(c["b"][1], np.float64)]}


@pytest.mark.parametrize("loop", LOOPS)
def test_the_message_shows_the_path_and_both_carries(loop):
    init = {"a": F(1), "b": [np.int32(2), F(3)]}
    with pytest.raises(CarryTypeError) as caught:
        loop(widened, init)
    message = str(caught.value)
    assert "['b'][1] goes in as f32[] and comes out as f64[]" in message
    assert (
        "given:    {'a': ShapedArray(f32[]), 'b': [ShapedArray(i32[]), ShapedArray(f32[])]}"
        in message
    )
    assert (
        "returned: {'a': ShapedArray(f32[]), 'b': [ShapedArray(i32[]), ShapedArray(f64[])]}"
        in message
    )
    assert "mend:" in message and "test_carry.py" in message


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "body, init",
    [
        (lambda c: lax.expand_dims(c, (0,)), F(1)),
        (lambda c: (c, c), F(1)),
        (lambda c: [c[0], c[1]], (F(1), F(2))),
        (lambda c: (c[0],), (F(1), F(2))),
        (lambda c: {"a": c["a"]}, {"a": F(1), "b": F(1)}),
        (lambda c: None, F(1)),
        (lambda c: (c[0], F(1)), (F(1), None)),
        (lambda c: lax.convert_element_type(c, bool), F(1)),
    ],
)
def test_other_types_and_structures_are_refused(loop, body, init):
    with pytest.raises(CarryTypeError, match="must return a carry of the"):
        loop(body, init)


@pytest.mark.parametrize("loop", LOOPS)
def test_weak_types_give_way_step_by_step(loop):
    """`c` becomes strong because `b` does, which does because `a` does."""

    def body(carry):
        a, b, _ = carry
        return F(1), a, b

    assert [x.weak_type for x in loop(body, (1.0, 2.0, 3.0))] == [False] * 3
    assert [x.weak_type for x in loop(lambda c: c, (1.0, F(2)))] == [True, False]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_strong_carry_stays_strong(loop):
    out = loop(lambda c: 2.0, F(1))
    assert not out.weak_type and out.dtype == F


@pytest.mark.parametrize("loop", LOOPS)
def test_an_empty_carry(loop):
    assert loop(lambda c: c, None) is None
    assert loop(lambda c: c, {"a": (), "b": None}) == {"a": (), "b": None}
