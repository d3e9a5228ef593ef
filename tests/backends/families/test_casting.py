from typing import Any

import numpy as np

from funcflow import lax


def test_wide_elements_as_narrow_ones(check: Any, numbers: Any) -> None:
    x = numbers.array(3, 4)
    program = check(lambda x: lax.bitcast_convert_type(x.T, np.uint16) + np.uint16(1), x)
    assert len(program.steps) == 1
    check(lambda x: lax.bitcast_convert_type(x[1:], np.uint8), x)


def test_narrow_elements_as_wide_ones(check: Any, numbers: Any) -> None:
    x = numbers.indices(0, 99, 5, 4, 2, dtype=np.uint16)
    program = check(lambda x: lax.bitcast_convert_type(x, np.float32)[1:, ::2] + 1, x)
    assert len(program.steps) == 1
    check(lambda x: lax.bitcast_convert_type(x.T[1], np.uint32)[0], x[:, :, :2].T[:, :2].copy())
    check(lambda x: lax.bitcast_convert_type(x[:, :2, 0], np.uint32), x)
    check(lambda x: lax.bitcast_convert_type(x[:, 0, :], np.uint32), x)


def test_narrow_elements_that_start_inside_a_wide_one(check: Any, numbers: Any) -> None:
    x = numbers.indices(0, 99, 6, 3, dtype=np.uint16)
    check(lambda x: lax.bitcast_convert_type(x[:, 1:], np.uint32), x)
    check(lambda x: lax.bitcast_convert_type(x.reshape(-1)[1:3], np.uint32), x)


def test_elements_of_the_same_width(check: Any, numbers: Any) -> None:
    check(lambda x: lax.bitcast_convert_type(x, np.int32), numbers.array(3, 4))
    check(lambda x: lax.bitcast_convert_type(x, np.int32), numbers.array(3, 0))
    check(lambda x: lax.bitcast_convert_type(x, np.complex64), numbers.array(3, dtype="complex64"))


def test_identities(check: Any, numbers: Any) -> None:
    z = numbers.array(3, 4, dtype="complex64")
    check(lambda z: (lax.stop_gradient(z.T), lax.copy_p.bind(z)), z)
    check(lambda x, z: lax.optimization_barrier((x + 1, z)), numbers.array(3), z)
