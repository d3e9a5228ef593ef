import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn

einops = pytest.importorskip("einops")
X = ff.random.normal(ff.random.key(0), (2, 4, 6, 3))


@pytest.fixture(autouse=True, scope="module")
def registered():
    ff.interop.register_einops()
    ff.interop.register_einops()  # more calls do nothing


OPERATIONS = {
    "rearrange": lambda x: einops.rearrange(x, "b (h p) w c -> b (h w) (p c)", p=2),
    "reduce": lambda x: einops.reduce(x, "b (h p) (w q) c -> b h w c", "mean", p=2, q=3),
    "repeat": lambda x: einops.repeat(x, "b h w c -> b h (w k) c", k=2),
    "stack": lambda x: einops.rearrange([x, x], "n b h w c -> b h w (c n)"),
    "einsum": lambda x: einops.einsum(x, x, "b h w c, b h w d -> b c d"),
    "pack": lambda x: einops.pack([x, x[..., 0]], "b h *")[0],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_on_arrays_and_tracers(name):
    f = OPERATIONS[name]
    expected = f(np.asarray(X))
    got = f(X)
    assert isinstance(got, ff.Array)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ff.jit(f)(X), expected, rtol=1e-5, atol=1e-6)
    lanes = ff.vmap(f)(fnp.stack([X, 2 * X]))
    np.testing.assert_allclose(lanes[0], expected, rtol=1e-5, atol=1e-6)
    _, pullback = ff.vjp(f, X)
    assert pullback(fnp.ones(expected.shape))[0].shape == X.shape


def test_within_a_module():
    class Patches(nn.Module):
        embed: nn.Linear

        def __call__(self, x):
            return self.embed(einops.rearrange(x, "b (h p) (w q) c -> b (h w) (p q c)", p=2, q=2))

    model = Patches(nn.Linear(12, 5, key=ff.random.key(1)))
    assert ff.jit(model)(X).shape == (2, 6, 5)
    gradient = ff.grad(lambda m, x: m(x).sum())(model, X)
    assert gradient.embed.kernel.shape == (12, 5)


def test_the_array_api_needs_no_registration():
    array_api = pytest.importorskip("einops.array_api")
    f = ff.jit(lambda x: array_api.rearrange(x, "b h w c -> (b h) w c"))
    np.testing.assert_array_equal(f(X), np.reshape(X, (8, 6, 3)))
