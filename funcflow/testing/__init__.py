"""Checks for functions of arrays: derivatives, the laws of the transforms, what is compiled.

Random programs test compilers. `funcflow.testing.strategies` draws examples for checks; it needs
Hypothesis, so it is imported explicitly.
"""

from funcflow.testing.compiles import assert_compiles
from funcflow.testing.differential import check_program
from funcflow.testing.gradients import check_grads, check_jvp, check_vjp
from funcflow.testing.laws import check_laws
from funcflow.testing.random_programs import RandomProgram, random_program

__all__ = [
    "assert_compiles",
    "check_grads",
    "check_jvp",
    "check_vjp",
    "check_laws",
    "RandomProgram",
    "random_program",
    "check_program",
]
