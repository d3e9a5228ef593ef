"""Einstein summation, against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ShapeError
from funcflow.testing import check_laws

SIZES = {"a": 2, "b": 3, "c": 4, "d": 1, "e": 2}


@hst.composite
def problems(draw):
    """Subscripts and operands; letters may repeat, be summed over, or broadcast."""
    count = draw(hst.integers(1, 4))
    letters = hst.sampled_from("abcde")
    terms = [draw(hst.lists(letters, max_size=3)) for _ in range(count)]
    ellipsis = draw(hst.booleans())
    hidden = [draw(hst.sampled_from([(), (2,), (1, 2), (3, 1)])) if ellipsis else () for _ in terms]
    used = sorted({x for term in terms for x in term})
    output = draw(hst.permutations(used).map(lambda p: p)) if used else []
    output = output[: draw(hst.integers(0, len(used)))]
    rng = np.random.default_rng(0)
    operands, texts = [], []
    for term, extra in zip(terms, hidden, strict=True):
        place = draw(hst.integers(0, len(term)))
        texts.append("".join(term[:place]) + ("..." if ellipsis else "") + "".join(term[place:]))
        shape = [SIZES[x] for x in term]
        operands.append(rng.normal(size=(*shape[:place], *extra, *shape[place:])).astype("f4"))
    text = ",".join(texts)
    if draw(hst.booleans()):
        text += "->" + ("..." if ellipsis else "") + "".join(output)
    return text, operands


@settings(max_examples=300, deadline=None)
@given(problem=problems(), optimize=hst.sampled_from(["auto", "greedy", False]))
def test_einsum(problem, optimize):
    text, operands = problem
    expected = np.einsum(text, *[x.astype("f8") for x in operands])
    got = fnp.einsum(text, *operands, optimize=optimize)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    path, _ = fnp.einsum_path(text, *operands)
    got = ff.jit(lambda *xs: fnp.einsum(text, *xs, optimize=path))(*operands)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


X = np.arange(6.0, dtype="f4").reshape(2, 3)
Y = np.arange(12.0, dtype="f4").reshape(3, 4)
Z = np.arange(8.0, dtype="f4").reshape(4, 2)


def test_notations():
    np.testing.assert_array_equal(fnp.einsum(X, [0, 1], Y, [1, 2], [2, 0]), (X @ Y).T)
    np.testing.assert_array_equal(fnp.einsum(X, [5, 1], Y, [1, 2]), (X @ Y).T)
    np.testing.assert_array_equal(fnp.einsum(X, [..., 1], Y, [1, 2], [..., 2]), X @ Y)
    np.testing.assert_array_equal(fnp.einsum(" i j , j k -> i k ", X, Y), X @ Y)
    np.testing.assert_array_equal(fnp.einsum("ba", X), X.T)
    np.testing.assert_array_equal(fnp.einsum("ii", Y[:, :3]), np.trace(Y[:, :3]))
    assert fnp.einsum("i,i", np.array([1, 2], "i1"), np.array([100, 2], "i1")).dtype == np.int8
    assert fnp.einsum("i,i", np.ones(2, "f2"), np.ones(2, "i4")).dtype == np.float16
    out = fnp.einsum("i->", np.ones(2, "f2"), preferred_element_type="float32")
    assert out.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "shapes", "primitives"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)], ["dot_general"]),
        ("ij,jk->ki", [(2, 3), (3, 4)], ["dot_general"]),
        ("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)], ["dot_general"]),
        ("bhid,bhjd->bhij", [(5, 2, 3, 4), (5, 2, 3, 4)], ["dot_general"]),
        ("i,i->", [(3,), (3,)], ["dot_general"]),
        ("i,i->i", [(3,), (3,)], ["mul"]),
        ("ij->i", [(2, 3)], ["reduce_sum"]),
        ("ij->ji", [(2, 3)], ["transpose"]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)], ["dot_general", "dot_general"]),
        ("...ij,...jk->...ik", [(7, 2, 3), (7, 3, 4)], ["dot_general"]),
    ],
)
def test_what_it_comes_to(text, shapes, primitives):
    jaxpr = ff.make_jaxpr(lambda *xs: fnp.einsum(text, *xs))(*[np.ones(s, "f4") for s in shapes])
    assert [eqn.primitive.name for eqn in jaxpr.eqns] == primitives


def test_the_order_matters():
    tall, thin = np.ones((100, 2), "f4"), np.ones((2, 100), "f4")
    path, text = fnp.einsum_path("ij,jk,kl->il", tall, thin, tall)
    assert path == [(1, 2), (0, 1)]
    assert "jk,kl->" in text
    assert fnp.einsum_path("ij,jk,kl->il", tall, thin, tall, optimize=False)[0] == [(0, 1), (0, 1)]
    many = [np.ones((2, 2), "f4")] * 8
    text = ",".join(a + b for a, b in zip("abcdefgh", "bcdefghi", strict=True)) + "->ai"
    assert fnp.einsum(text, *many)[0, 0] == 128
    np.testing.assert_array_equal(
        fnp.einsum("ij,jk,kl->il", tall, thin, tall, optimize=["einsum_path", (0, 1, 2)]),
        tall @ thin @ tall,
    )


def test_laws():
    check_laws(lambda x, y, z: fnp.einsum("ij,jk,ki->k", x, y, z), (X, Y, Z), order=2)
    check_laws(lambda x: fnp.einsum("ii->i", x), (Y[:, :3],), order=1)
    check_laws(lambda x, y: fnp.einsum("...i,ij", x, y), (X, Y), order=1)


def test_errors():
    with pytest.raises(ArgumentError, match="for 1 operands, got 2"):
        fnp.einsum("ij", X, Y)
    with pytest.raises(ShapeError, match="names 3 axes of an operand that has 2"):
        fnp.einsum("ijk->", X)
    with pytest.raises(ShapeError, match=r"'j' have extents 3 and 2|'j' have extents"):
        fnp.einsum("ij,ja->", X, Z)
    with pytest.raises(ArgumentError, match="result's subscripts 'iz'"):
        fnp.einsum("ij->iz", X)
    with pytest.raises(ArgumentError, match="each once"):
        fnp.einsum("ij->ii", X)
    with pytest.raises(ArgumentError, match="no list of letters"):
        fnp.einsum("i1->", X)
    with pytest.raises(ArgumentError, match="lacks the axes"):
        fnp.einsum("...i->i", X)
    with pytest.raises(ArgumentError, match="optimize"):
        fnp.einsum("ij->", X, optimize="best")
    with pytest.raises(ArgumentError, match="does not fit"):
        fnp.einsum("ij,jk->", X, Y, optimize=[(0, 5)])
    with pytest.raises(ArgumentError, match="does not name axes"):
        fnp.einsum(X, ["a", "b"])
