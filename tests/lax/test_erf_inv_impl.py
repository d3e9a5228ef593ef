import numpy as np
import pytest
from scipy import special

from funcflow.lax.erf_inv_impl import erf_inv


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 5e-6), (np.float64, 3e-11)])
def test_agrees_with_scipy(dtype: type, rtol: float) -> None:
    inside = np.linspace(-1, 1, 20001)[1:-1]
    near_one = 1 - 10.0 ** -np.arange(1, 7 if dtype is np.float32 else 16)
    near_zero = 10.0 ** -np.arange(1, 30)
    x = np.concatenate([inside, near_one, -near_one, near_zero]).astype(dtype)
    np.testing.assert_allclose(erf_inv(np, x), special.erfinv(x.astype(np.float64)), rtol=rtol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edges(dtype: type) -> None:
    x = np.array([0.0, -0.0, 1.0, -1.0, 1.5, -2.0, np.nan, np.inf, -np.inf], dtype)
    with np.errstate(all="ignore"):
        found = erf_inv(np, x)
    nan = np.nan
    np.testing.assert_array_equal(found, [0.0, -0.0, np.inf, -np.inf, nan, nan, nan, nan, nan])
    assert np.signbit(found[1])
    assert found.dtype == dtype


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 3), (5000,)])
def test_shapes(shape: tuple[int, ...]) -> None:
    x = np.full(shape, 0.25, np.float32)
    assert erf_inv(np, x).shape == shape
    transposed = np.broadcast_to(x, (2, *shape)).T
    assert erf_inv(np, transposed).shape == transposed.shape


# Recorded from XLA (jax 0.10.2, CPU): argument and result as bit patterns, in the centre, in the
# tails, and on both sides of where the approximation changes.
SINGLE = [
    (0x3A83126F, 0x3A6851B2),
    (0x3DCCCCCD, 0x3DB5FA21),
    (0x3F000000, 0x3EF430FE),
    (0x3F24BC6A, 0x3F26E8E4),
    (0x3F24C2F8, 0x3F26F1C6),
    (0x3F666666, 0x3F94E009),
    (0x3F7D70A4, 0x3FE92333),
    (0x3F7F212D, 0x40048DB6),
    (0x3F7F2325, 0x4004ADAB),
    (0x3F7FF972, 0x403010D3),
    (0x3F7FFFEF, 0x405D40B6),
]
DOUBLE = [
    (0x3F50624DD2F1A9FC, 0x3F4D0A36543E1FD4),
    (0x3FB999999999999A, 0x3FB6BF442539FD74),
    (0x3FE0000000000000, 0x3FDE861FBB24C008),
    (0x3FE4978D4FDF3B64, 0x3FE4DD1CA154E245),
    (0x3FE4985F06F69446, 0x3FE4DE38F6CC7BBF),
    (0x3FECCCCCCCCCCCCD, 0x3FF29C0146770650),
    (0x3FEFAE147AE147AE, 0x3FFD2466082BB20E),
    (0x3FEFE425AEE631F9, 0x400091B7957FD393),
    (0x3FEFE4649906CCA3, 0x400095B4711C36A7),
    (0x3FEFFF2E48E8A71E, 0x4006022DCB01EAB2),
    (0x3FEFFFFDE7210BE9, 0x400BABD96482FFD0),
    (0x3FEFFFFFFAA19C47, 0x4010357DAE0F0693),
    (0x3FEFFFFFFFFFFC7B, 0x40150BC24952C76D),
]


@pytest.mark.parametrize(
    ("bits", "unsigned", "dtype"),
    [(SINGLE, np.uint32, np.float32), (DOUBLE, np.uint64, np.float64)],
)
def test_recorded_bits(bits: list[tuple[int, int]], unsigned: type, dtype: type) -> None:
    arguments, results = np.array(bits, unsigned).T
    found = erf_inv(np, np.ascontiguousarray(arguments).view(dtype))
    assert [hex(b) for b in found.view(unsigned)] == [hex(b) for b in results]
