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
