"""Donated arguments: whose memory results take, and whose must not be touched."""

import gc
import threading

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors

SIZES = [3, 20_000]  # of the C library's allocator, of the pool


def array(n, value=2.0):
    """An array that nobody else holds."""
    return fnp.ones(n) * value


def address(x):
    return np.asarray(x).ctypes.data


def step(x):
    return x * 3 + 1


donating = ff.jit(step, donate_argnums=0)


@pytest.mark.parametrize("n", SIZES)
def test_the_result_takes_the_memory(n):
    x = array(n)
    place = address(x)
    for expected in (7, 22, 67):  # the first call, and then the short way
        old, x = x, donating(x)
        assert address(x) == place
        assert old.is_deleted() and not x.is_deleted()
        np.testing.assert_array_equal(x, np.full(n, expected, "f4"))


def test_deleted_arrays():
    x = array(3)
    donating(x)
    assert repr(x) == str(x) == "<deleted Array f32[3]>"
    assert x.aval.shape == (3,)
    uses = [lambda: x + 1, lambda: np.asarray(x), lambda: x.shape, lambda: x.tolist()]
    uses += [lambda: donating(x), lambda: ff.vmap(fnp.sin)(x), lambda: ff.grad(fnp.sum)(x)]
    for use in uses:
        with pytest.raises(errors.DeletedArrayError, match=r"donated to jit of step as args\[0\]"):
            use()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    "hold",
    [np.asarray, lambda x: x[1:], lambda x: memoryview(np.asarray(x)), lambda x: x.reshape(1, -1)],
)
def test_what_others_see_does_not_change(n, hold):
    for _ in range(2):
        x = array(n)
        seen = hold(x)
        before = np.array(seen)
        donating(x)
        assert not x.is_deleted()
        np.testing.assert_array_equal(np.array(seen), before)
        np.testing.assert_array_equal(x, np.full(n, 2, "f4"))
        del seen
        donating(x)
        assert x.is_deleted()


def test_numpy_arrays_belong_to_their_owners():
    x = np.full(3, 2, "f4")
    for _ in range(2):
        donating(x)
        np.testing.assert_array_equal(x, np.full(3, 2, "f4"))


def test_arrays_made_from_numpy_arrays_do_not_share_them():
    x = np.full(3, 2, "f4")
    y = fnp.asarray(x)
    donating(y)
    np.testing.assert_array_equal(x, np.full(3, 2, "f4"))


def test_the_same_array_twice():
    f = ff.jit(lambda x, y: (x + 1, y * 2), donate_argnums=(0, 1))
    g = ff.jit(lambda x, y: (x + 1, y * 2), donate_argnums=0)
    for h in (f, f, g, g):
        x = array(3)
        first, second = h(x, x)
        np.testing.assert_array_equal(first, [3, 3, 3])
        np.testing.assert_array_equal(second, [4, 4, 4])
        assert not x.is_deleted()


def test_an_array_that_the_function_captures():
    x = array(3)
    f = ff.jit(lambda y: y + x, donate_argnums=0)
    for _ in range(2):
        np.testing.assert_array_equal(f(x), [4, 4, 4])
        assert not x.is_deleted()


def test_an_array_that_another_compiled_function_has_captured():
    x = array(3)
    f = ff.jit(lambda y: y + x)
    f(array(3))
    f(array(3))
    donating(x)
    np.testing.assert_array_equal(f(array(3)), [4, 4, 4])


def test_an_array_that_a_backward_pass_needs():
    x = array(3)
    _, backward = ff.vjp(fnp.sin, x)
    cosine = np.cos(np.asarray(x))
    donating(x)
    try:
        np.testing.assert_allclose(backward(fnp.ones(3))[0], cosine, rtol=1e-6)
    except errors.DeletedArrayError:
        assert x.is_deleted()


def test_several_results_of_one_argument():
    f = ff.jit(lambda x: (x + 1, x * 2, x[::-1]), donate_argnums=0)
    for _ in range(2):
        first, second, third = f(fnp.arange(3) * 1.0)
        np.testing.assert_array_equal(first, [1, 2, 3])
        np.testing.assert_array_equal(second, [0, 2, 4])
        np.testing.assert_array_equal(third, [2, 1, 0])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x[::-1],
        lambda x: fnp.cumsum(x),
        lambda x: x.at[1].set(7.0),
        lambda x: x + x[0],
        lambda x: x - fnp.max(x),
        lambda x: fnp.roll(x, 1) * x,
        lambda x: fnp.sort(-x),
        lambda x: x.reshape(4, -1).T.reshape(-1),
        lambda x: fnp.where(x > 2, x[::-1], x),
        lambda x: x / fnp.sum(fnp.exp(x - fnp.max(x))),
        lambda x: (
            x.reshape(8, -1) @ fnp.ones((5000, 5000))[: x.size // 8, : x.size // 8]
            if x.size == 64
            else fnp.sin(x)
        ),
        lambda x: ff.lax.fori_loop(0, 3, lambda i, c: c + c[::-1], x),
        lambda x: x,
    ],
)
@pytest.mark.parametrize("n", [64, 40_000])
def test_values_are_those_without_donation(f, n):
    rng = np.random.default_rng(0)
    plain, given = ff.jit(f), ff.jit(f, donate_argnums=0)
    for _ in range(2):
        x = fnp.asarray(rng.standard_normal(n, "f4"))
        expected = np.array(plain(x))
        np.testing.assert_array_equal(given(x), expected)


def test_a_pytree_of_parameters_is_updated_in_place():
    def update(params, gradients):
        return ff.tree.map(lambda p, g: p - 0.5 * g, params, gradients)

    f = ff.jit(update, donate_argnames="params", strict_donation=True)
    params = {"w": array((4, 5)), "b": array(5), "s": [array(()), array((0, 2))]}
    for _ in range(3):
        places = ff.tree.map(address, params)
        params = f(params, ff.tree.map(fnp.ones_like, params))
        assert ff.tree.map(address, params) == places
    assert float(params["s"][0]) == 0.5
    params = f(params=params, gradients=ff.tree.map(fnp.ones_like, params))
    assert ff.tree.map(address, params) == places


def test_arguments_by_place_and_name_beside_static_ones():
    f = ff.jit(lambda n, x, *, y: (x * n, y + n), static_argnums=0, donate_argnames=("x", "y"))
    for _ in range(2):
        x, y = array(3), array(4)
        f(2, x, y=y)
        assert x.is_deleted() and y.is_deleted()
    f = ff.jit(lambda *xs: [2 * x for x in xs], donate_argnums=-1)
    x, y = array(3), array(3)
    f(x, y)
    assert y.is_deleted() and not x.is_deleted()


def test_transformations_do_not_donate():
    for call in (
        lambda x: ff.vmap(donating)(x),
        lambda x: ff.grad(lambda x: fnp.sum(donating(x)))(x),
        lambda x: ff.jit(lambda x: donating(x) + x)(x),
        lambda x: ff.jvp(donating, (x,), (x,)),
        lambda x: ff.jit(ff.jit(step, donate_argnums=0, strict_donation=True))(x),
    ):
        x = array(3)
        call(x)
        assert not x.is_deleted()
        np.testing.assert_array_equal(x, [2, 2, 2])


def test_donation_of_a_jitted_gradient():
    f = ff.jit(ff.grad(lambda x: fnp.sum(fnp.sin(x))), donate_argnums=0)
    x = array(3)
    np.testing.assert_allclose(f(x), np.cos(np.full(3, 2, "f4")), rtol=1e-6)
    assert x.is_deleted()


def test_compiled_programs_donate():
    program = ff.jit(step, donate_argnums=0).lower(ff.ShapeDtypeStruct((3,), "float32")).compile()
    x = array(3)
    place = address(x)
    assert address(program(x)) == place and x.is_deleted()


def test_without_jit_nothing_is_donated():
    x = array(3)
    with ff.disable_jit():
        donating(x)
    assert not x.is_deleted()


def test_the_reference_backend_donates_nothing():
    x = array(3)
    with ff.config(backend="reference"):
        np.testing.assert_array_equal(donating(x), [7, 7, 7])
        with pytest.raises(errors.DonationError, match="reference backend"):
            ff.jit(step, donate_argnums=0, strict_donation=True)(x)
    assert not x.is_deleted()


# --- strictly ---------------------------------------------------------------------------------


def strict(f, **options):
    return ff.jit(f, donate_argnums=0, strict_donation=True, **options)


@pytest.mark.parametrize(
    ("f", "make", "why"),
    [
        (lambda x: x[0], lambda: array(3), "no result has its shape and dtype"),
        (lambda x: x > 0, lambda: array(3), "no result has its shape and dtype"),
        (lambda x: x[::-1], lambda: array(3), "step 1 reads it when step 1 has begun"),
        (step, lambda: np.ones(3, "f4"), "it is no Array"),
        (step, lambda: 2.0, "it is no Array"),
    ],
)
def test_what_cannot_be_used_raises(f, make, why):
    g = strict(f)
    for _ in range(2):
        with pytest.raises(errors.DonationError, match=rf"args\[0\] cannot be used: {why}"):
            g(make())


def test_an_error_leaves_all_arguments_as_they_were():
    f = ff.jit(lambda x, y: (x + 1, y + 1), donate_argnums=(0, 1), strict_donation=True)
    for _ in range(2):
        x, y = array(3), array(4)
        seen = np.asarray(y)
        with pytest.raises(errors.DonationError, match=r"args\[1\].*somebody else holds it"):
            f(x, y)
        assert not x.is_deleted() and not y.is_deleted()
        del seen
        f(x, y)
        assert x.is_deleted() and y.is_deleted()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"donate_argnums": 2}, "the donated argument 2 is not there"),
        ({"donate_argnames": "z"}, "the donated argument 'z' is not there"),
        ({"donate_argnums": 0, "static_argnums": 0}, "static and donated"),
    ],
)
def test_arguments_that_cannot_be_donated(options, match):
    with pytest.raises(errors.ArgumentError, match=match):
        ff.jit(lambda x, y: x, **options)


# --- threads ----------------------------------------------------------------------------------


def test_threads_that_donate_the_same_array():
    """One takes the memory at most; the others work on the array as it was, or find it deleted."""
    gc.collect()
    for _ in range(20):
        x, start, found = array(20_000), threading.Barrier(4), []

        def work(x=x, start=start, found=found):
            start.wait()
            try:
                found.append(float(donating(x)[-1]))
            except errors.DeletedArrayError:
                found.append(7.0)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [7.0] * 4
