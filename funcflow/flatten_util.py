"""Pytrees as vectors, for algorithms that work on one array."""

from funcflow.numpy.raveling import ravel_pytree as ravel_pytree
