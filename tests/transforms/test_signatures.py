"""Why a call of a jitted function missed the cache."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.transforms import signatures


def last_reason(f):
    return f.cache_info().reasons[-1]


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ((np.ones(3),), (np.ones(4),), "args[0]: float64[3] became float64[4]"),
        (
            ({"w": np.ones((3, 4), "f4")},),
            ({"w": np.ones((5, 4), "f4")},),
            "args[0]['w']: float32[3,4] became float32[5,4]",
        ),
        ((1.0,), (np.float32(1),), "args[0]: weak float32[] became float32[]"),
        (
            ({"a": 1},),
            ({"b": 1},),
            "the tree of the arguments changed: args[0]['b'] is new, args[0]['a'] is gone",
        ),
        (([1, 2],), ([1, 2, 3, 4, 5, 6],), "args[0][2] is new, args[0][3] is new, args[0][4] is"),
        (([1],), ((1,),), "the tree of the arguments changed: "),
        (([1, 2],), ([1.0, 2.0],), "float32[]; args[0][1]: weak int32[] became weak float32[]"),
    ],
)
def test_arguments(first, second, reason):
    f = ff.jit(lambda tree: ff.tree.map(lambda x: x + 1, tree))
    f(*first)
    assert last_reason(f) == "first call"
    f(*second)
    assert reason in last_reason(f)


def test_many_differences_are_counted():
    f = ff.jit(lambda xs: xs)
    f([1] * 9)
    f([1.0] * 9)
    assert last_reason(f).endswith("; 6 more differences")


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (3, 4, "static argument 1: 3 became 4"),
        (1, 1.0, "static argument 1: 1 became 1.0"),
        ("a", (1, "b"), "static argument 1: 'a' became (1, 'b')"),
    ],
)
def test_static_arguments(first, second, reason):
    f = ff.jit(lambda x, n: x, static_argnums=1)
    f(1, first)
    f(1, second)
    assert last_reason(f) == reason


def test_settings_and_axes():
    f = ff.jit(lambda x: x + fnp.ones(()))
    f(np.ones(2))
    with ff.config(default_float="float64"):
        f(np.ones(2))
    assert last_reason(f) == "config.default_float: float32 became float64"
    g = ff.jit(lambda x: lax.psum(x, "i"))
    for size in (2, 3):
        ff.vmap(g, axis_name="i")(np.ones(size))
    assert last_reason(g) == "axes in scope: (('i', 2),) became (('i', 3),)"


def test_the_nearest_earlier_signature_counts():
    f = ff.jit(lambda x, y: (x, y))
    for x, y in ((3, 3), (8, 8), (3, 4)):
        f(np.ones(x), np.ones(y))
    assert f.cache_info().reasons == (
        "first call",
        "args[0]: float64[3] became float64[8]; args[1]: float64[3] became float64[8]",
        "args[1]: float64[3] became float64[4]",
    )


def test_the_oldest_are_forgotten(monkeypatch):
    monkeypatch.setattr(signatures, "MAX_ENTRIES", 2)
    f = ff.jit(lambda x: x)
    for n in (1, 2, 3, 1):
        f(x=np.ones(n))
    assert f.cache_info()[:3] == (0, 4, 2)
    assert last_reason(f) == "the signature was forgotten"


def test_hits_on_the_short_way_count():
    f = ff.jit(lambda x: x)
    for _ in range(4):
        f(fnp.ones(3))
    assert f.cache_info()[:3] == (3, 1, 1)
    f.clear_cache()
    assert f.cache_info().size == 0
    f(fnp.ones(3))
    assert last_reason(f) == "earlier calls are no longer known"
