"""What the tests of transforms share."""

from collections.abc import Callable
from typing import Any

import pytest

from funcflow.core.jaxpr import Jaxpr, subjaxprs


def _count(jaxpr: Any, name: str) -> int:
    inner: Jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    return sum(
        (eqn.primitive.name == name) + sum(_count(sub, name) for sub in subjaxprs(eqn))
        for eqn in inner.eqns
    )


@pytest.fixture(scope="session")
def count() -> Callable[[Any, str], int]:
    """How many equations of a primitive a jaxpr has, those of jaxprs inside included."""
    return _count
