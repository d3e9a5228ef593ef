"""Operations on one element as straight lines of `MACHINE_OPS`.

Printers of the loop IR know few operations. Everything else is taken apart here, once for all of
them: `expand` replaces each operation that has an entry in the registry, and the loops that come
out have neither calls nor branches but guards around rare work, so that they vectorise.
`registry.py` has the rules.

The functions of a family stand in a file of the family's name. Their approximations are made for
this package: minimax polynomials on reduced arguments, whose intervals and errors are stated beside
the coefficients, in fused multiply-adds. Each docstring states the error bound that its test
asserts, in units in the last place (ulp) of the exact result.
"""

from funcflow.backends.scalars import (  # noqa: F401  (they fill the registry)
    arithmetic,
    bits,
    casting,
    comparison,
    erf_inv,
    error_function,
    exponential,
    gamma,
    hyperbolic,
    integers,
    logarithm,
    power,
    random_bits,
    remainder,
    rounding,
    trigonometric,
)
from funcflow.backends.scalars.expand import expand
from funcflow.backends.scalars.registry import EXPANSIONS, Expansion, expansion

__all__ = ["EXPANSIONS", "Expansion", "expand", "expansion"]
