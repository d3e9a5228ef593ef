"""How expansions are found."""

import numpy as np

from funcflow.backends.scalars.registry import EXPANSIONS, expansion, find_expansion, is_widened
from funcflow.core import dtypes


def test_a_name_goes_before_a_kind_and_that_before_any(monkeypatch):
    monkeypatch.setattr("funcflow.backends.scalars.registry.EXPANSIONS", table := {})

    @expansion("op")
    def for_any(build, x):
        return x

    @expansion("op", "f", "u")
    def for_kinds(build, x):
        return x

    @expansion("op", "float16")
    def for_name(build, x):
        return x

    assert set(table) == {("op", "any"), ("op", "f"), ("op", "u"), ("op", "float16")}
    found = {
        name: find_expansion("op", np.dtype(name)) for name in ("int8", "uint8", "f4", "float16")
    }
    assert found == {"int8": for_any, "uint8": for_kinds, "f4": for_kinds, "float16": for_name}
    assert find_expansion("other", np.dtype(np.int8)) is None
    # float16 has its own, bfloat16 is computed as float32
    assert not is_widened("op", np.dtype(np.float16))
    assert is_widened("op", dtypes.bfloat16)


def test_narrow_floats_are_served_by_name(monkeypatch):
    monkeypatch.setattr("funcflow.backends.scalars.registry.EXPANSIONS", {})

    @expansion("op", "any")
    def for_any(build, x):
        return x

    @expansion("op", "float32")
    def for_single(build, x):
        return x

    for dtype in (np.dtype(np.float16), dtypes.bfloat16):
        assert find_expansion("op", dtype) is for_single
        assert is_widened("op", dtype)
    assert find_expansion("op", np.dtype(np.float64)) is for_any


def test_transcendental_functions_are_registered():
    names = {name for name, kind in EXPANSIONS if kind in ("f", "float32")}
    wanted = "exp exp2 expm1 logistic log log1p sin cos tan asin acos atan atan2 sinh cosh tanh"
    more = "asinh acosh atanh pow cbrt erf erfc erf_inv"
    assert set(f"{wanted} {more}".split()) <= names
