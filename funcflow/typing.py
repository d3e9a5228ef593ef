"""Types for the annotations of programs that use funcflow."""

from funcflow.core.array import Array as Array
from funcflow.core.array import ArrayLike as ArrayLike
from funcflow.core.pytree import PyTreeDef as PyTreeDef
from funcflow.core.typing import DTypeLike as DTypeLike
from funcflow.core.typing import PyTree as PyTree
from funcflow.core.typing import Shape as Shape
