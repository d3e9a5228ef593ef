"""Every elementwise primitive is compiled, or declared not to be."""

import pytest

from funcflow.backends.loop_ir import MACHINE_OPS
from funcflow.backends.scalars.registry import EXPANSIONS, HOST_ONLY
from funcflow.lax.forms import ELEMENTWISE

NAMES = sorted(primitive.name for primitive in ELEMENTWISE)
EXPANDED = {name for name, _ in EXPANSIONS}


@pytest.mark.parametrize("name", NAMES)
def test_primitive_is_compiled_or_declared(name: str) -> None:
    compiled = name in MACHINE_OPS or name in EXPANDED
    assert compiled != (name in HOST_ONLY)


def test_declared_primitives_exist() -> None:
    assert set(NAMES) >= HOST_ONLY
