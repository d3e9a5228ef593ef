"""Pytree utilities under JAX's long names."""

from funcflow.core.pytree import DictKey as DictKey
from funcflow.core.pytree import FlattenedIndexKey as FlattenedIndexKey
from funcflow.core.pytree import GetAttrKey as GetAttrKey
from funcflow.core.pytree import KeyEntry as KeyEntry
from funcflow.core.pytree import KeyPath as KeyPath
from funcflow.core.pytree import PyTreeDef as PyTreeDef
from funcflow.core.pytree import SequenceKey as SequenceKey
from funcflow.core.pytree import all_leaves as all_leaves
from funcflow.core.pytree import flatten_one_level as flatten_one_level
from funcflow.core.pytree import keystr as keystr
from funcflow.core.pytree import tree_all as tree_all
from funcflow.core.pytree import tree_broadcast as tree_broadcast
from funcflow.core.pytree import tree_flatten as tree_flatten
from funcflow.core.pytree import tree_flatten_with_path as tree_flatten_with_path
from funcflow.core.pytree import tree_leaves as tree_leaves
from funcflow.core.pytree import tree_leaves_with_path as tree_leaves_with_path
from funcflow.core.pytree import tree_map as tree_map
from funcflow.core.pytree import tree_map_with_path as tree_map_with_path
from funcflow.core.pytree import tree_reduce as tree_reduce
from funcflow.core.pytree import tree_structure as tree_structure
from funcflow.core.pytree import tree_transpose as tree_transpose
from funcflow.core.pytree import tree_unflatten as tree_unflatten
from funcflow.core.pytree import treedef_children as treedef_children
from funcflow.core.pytree import treedef_is_leaf as treedef_is_leaf
from funcflow.core.pytree import treedef_tuple as treedef_tuple
from funcflow.core.registration import Partial as Partial
from funcflow.core.registration import is_tree_node as is_tree_node
from funcflow.core.registration import register_dataclass as register_dataclass
from funcflow.core.registration import register_pytree_node as register_pytree_node
from funcflow.core.registration import register_pytree_node_class as register_pytree_node_class
from funcflow.core.registration import register_pytree_with_keys as register_pytree_with_keys
from funcflow.core.registration import (
    register_pytree_with_keys_class as register_pytree_with_keys_class,
)
from funcflow.core.registration import register_static as register_static
