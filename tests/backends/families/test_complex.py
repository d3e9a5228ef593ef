from typing import Any

import pytest

from funcflow import lax


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_parts_are_views(check: Any, numbers: Any, dtype: str) -> None:
    program = check(lambda z: z.T[1:].real * z.T[1:].imag, numbers.array(3, 4, dtype=dtype))
    assert len(program.steps) == 1


def test_parts_are_put_together(check: Any, numbers: Any) -> None:
    x, y = numbers.array(3, 4), numbers.array(4, 3)
    check(lambda x, y: lax.complex(x, y.T), x, y)
    check(lambda z: lax.complex(z.imag, z.real + 1), numbers.array(5, dtype="complex128"))
    check(lambda x: lax.complex(x, x), numbers.array(0, 3))


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_kernels_store_into_both_halves(check: Any, numbers: Any, dtype: str) -> None:
    """The parts of a result are stored where it lies, not put together afterwards."""
    z, w = numbers.array(5, 7, dtype=dtype), numbers.array(7, dtype=dtype)

    def parts(z: Any, w: Any) -> Any:
        product_re = lax.sub(z.real * w.real, z.imag * w.imag)
        return lax.complex(product_re, lax.add(z.real * w.imag, z.imag * w.real))

    (step,) = check(parts, z, w).steps
    assert len(step.writes) == 2 and step.writes[0].buffer is step.writes[1].buffer


def test_parts_that_are_needed_elsewhere(check: Any, numbers: Any) -> None:
    z = numbers.array(6, 4, dtype="complex64")
    check(lambda z: (lambda x: [lax.complex(x, x), x])(z.real + 1), z)
    check(lambda z: (lambda x: lax.complex(x, lax.complex(x, x).real.T.T + x))(z.real + 1), z)
    check(lambda z: (lambda x: [lax.complex(x, z.imag), lax.complex(z.imag, x)])(z.real + 1), z)
    check(lambda z: (lambda x: [lax.complex(x, 2 * x), x.max(0)])(z.imag * 2), z)
    check(lambda z: lax.complex(z.real[0] * 2, z.imag * 2), z)
