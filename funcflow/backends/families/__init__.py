"""Families of primitives that become kernels by a rule of their own, for every target."""

from collections.abc import Mapping

from funcflow.backends.families import (
    casting,
    complex,
    cumulative,
    dynamic,
    gathering,
    greatest,
    joining,
    scattering,
    sorting,
)
from funcflow.backends.planner import Lowering
from funcflow.core.primitive import Primitive

LOWERINGS: Mapping[Primitive, Lowering] = {
    **casting.LOWERINGS,
    **complex.LOWERINGS,
    **cumulative.LOWERINGS,
    **dynamic.LOWERINGS,
    **gathering.LOWERINGS,
    **greatest.LOWERINGS,
    **joining.LOWERINGS,
    **scattering.LOWERINGS,
    **sorting.LOWERINGS,
}
