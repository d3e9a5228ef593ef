"""What the tests of elementwise operations share, and those of collectives."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import funcflow as ff
from funcflow import lax
from funcflow.core import dtypes
from funcflow.testing import check_laws

# Relative to the value or, for complex numbers, the modulus.
TOLERANCE = {
    "float16": 2e-3,
    "bfloat16": 1.6e-2,
    "float32": 2e-6,
    "complex64": 2e-5,
    "float64": 1e-13,
    "complex128": 1e-12,
}


def _widened(x: Any) -> Any:
    value = np.asarray(x)
    if not dtypes.is_inexact(value.dtype):
        return value
    return value.astype("complex128" if value.dtype.kind == "c" else "float64")


def assert_agrees(
    function: Callable[..., Any],
    reference: Callable[..., Any],
    *args: Any,
    dtype: Any = None,
    tolerance: float | None = None,
) -> None:
    """Check `function(*args)` against `reference` of the same values in double precision.

    The result's dtype must be `dtype` (by default the first argument's), its shape the reference's.
    Integers and booleans must agree exactly.
    """
    got = np.asarray(function(*args))
    with np.errstate(all="ignore"):
        wide = np.asarray(reference(*map(_widened, args)))
        assert got.dtype == np.dtype(args[0].dtype if dtype is None else dtype)
        assert got.shape == wide.shape
        if not dtypes.is_inexact(got.dtype):
            np.testing.assert_array_equal(got, wide.astype(got.dtype))
            return
        # rounding the reference makes the same values infinite or zero
        expected = _widened(wide.astype(got.dtype))
    limit = TOLERANCE[got.dtype.name] if tolerance is None else tolerance
    tiny = (
        4 * float(np.finfo(dtypes.real_of(got.dtype)).smallest_subnormal)
        if (got.dtype.kind == "f")
        else limit
    )
    np.testing.assert_allclose(_widened(got), expected, rtol=limit, atol=tiny)


@pytest.fixture(scope="session")
def agrees() -> Callable[..., None]:
    """See `assert_agrees`."""
    return assert_agrees


# --- collectives ------------------------------------------------------------------------------


@pytest.fixture
def eight_devices() -> Iterator[None]:
    with ff.config(num_cpu_devices=8):
        yield


MAPS = (ff.vmap, ff.pmap)


def _meaning(f: Any, x: Any, expected: Any) -> None:
    for mapping in MAPS:
        got = mapping(f, axis_name="i")(x)
        assert got.dtype == x.dtype and got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def _laws_under_vmap(f: Any, x: Any, expected: Any) -> None:
    check_laws(ff.vmap(f, axis_name="i"), [x])
    check_laws(
        ff.vmap(lambda x: f(lax.sin(x)), axis_name="i", in_axes=1, out_axes=-1),
        [np.moveaxis(x, 0, 1)],
    )


def _same_value_in_all_lanes(f: Any, x: Any, expected: Any) -> None:
    one = x[1]
    got = ff.vmap(lambda _: f(one), axis_name="i")(np.arange(len(x)))
    want = ff.vmap(f, axis_name="i")(np.stack([one] * len(x)))
    np.testing.assert_allclose(got, want, rtol=1e-6)


def _derivatives_under_pmap_are_those_under_vmap(f: Any, x: Any, expected: Any) -> None:
    def derivatives(mapping: Any) -> list[Any]:
        mapped = mapping(lambda x: lax.sin(f(lax.mul(x, x))), axis_name="i")
        out, f_vjp = ff.vjp(mapped, x)
        ct = np.cos(np.arange(out.size, dtype=x.dtype)).reshape(out.shape)
        return [*f_vjp(ct), ff.jvp(mapped, (x,), (x,))[1]]

    for a, b in zip(derivatives(ff.vmap), derivatives(ff.pmap), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def _another_mapped_axis_around_and_inside(f: Any, x: Any, expected: Any) -> None:
    """The other axis passes through every rule, whichever of the two is outside."""
    both = np.stack([x, 2 * x])
    once = ff.vmap(f, axis_name="i")
    want = np.stack([np.asarray(once(y)) for y in both])
    for outer in MAPS:
        np.testing.assert_allclose(outer(once, axis_name="j")(both), want, rtol=1e-6)
        inside = outer(ff.vmap(f, axis_name="j"), axis_name="i", in_axes=1, out_axes=1)
        np.testing.assert_allclose(inside(both), want, rtol=1e-6)


@pytest.fixture(
    params=[
        _meaning,
        _laws_under_vmap,
        _same_value_in_all_lanes,
        _derivatives_under_pmap_are_those_under_vmap,
        _another_mapped_axis_around_and_inside,
    ],
    ids=lambda law: law.__name__.strip("_"),
)
def collective_law(request: pytest.FixtureRequest) -> Callable[[Any, Any, Any], None]:
    """One thing to check of a function of a lane over the axis "i".

    It is given the function, arguments with lanes in front, and what all lanes must return.
    """
    return request.param
