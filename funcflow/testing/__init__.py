"""Checks for functions of arrays: derivatives, the laws of the transforms, what is compiled.

`funcflow.testing.strategies` draws examples for them; it needs Hypothesis, so it is imported
explicitly.
"""

from funcflow.testing.compiles import assert_compiles
from funcflow.testing.gradients import check_grads, check_jvp, check_vjp
from funcflow.testing.laws import check_laws

__all__ = ["check_grads", "check_jvp", "check_vjp", "check_laws", "assert_compiles"]
