"""Pytree utilities under JAX's short names: `ff.tree.map`, `ff.tree.leaves`, ..."""

from funcflow.core.pytree import tree_all as all
from funcflow.core.pytree import tree_broadcast as broadcast
from funcflow.core.pytree import tree_flatten as flatten
from funcflow.core.pytree import tree_flatten_with_path as flatten_with_path
from funcflow.core.pytree import tree_leaves as leaves
from funcflow.core.pytree import tree_leaves_with_path as leaves_with_path
from funcflow.core.pytree import tree_map as map
from funcflow.core.pytree import tree_map_with_path as map_with_path
from funcflow.core.pytree import tree_reduce as reduce
from funcflow.core.pytree import tree_structure as structure
from funcflow.core.pytree import tree_transpose as transpose
from funcflow.core.pytree import tree_unflatten as unflatten

__all__ = [
    "all",
    "broadcast",
    "flatten",
    "flatten_with_path",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "reduce",
    "structure",
    "transpose",
    "unflatten",
]
