"""Mixed precision: in which dtypes parameters are kept, layers compute, and results are given.

Names and meanings are those of jmp. With parameters in float32 and layers in bfloat16:

    policy = nn.get_policy("params=float32,compute=bfloat16,output=float32")

    def predict(model, x):
        model, x = policy.cast_to_compute((model, x))
        return policy.cast_to_output(model(x))

`nn.training(predict)` returns the model that it was given, with its parameters in float32.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.errors import ArgumentError
from funcflow.core.pytree import tree_map
from funcflow.core.typing import PyTree
from funcflow.nn.partition import trainable


@dataclass(frozen=True)
class Policy:
    """In which dtypes parameters are kept, layers compute, and results are given.

    Args:
        param_dtype: of parameters, and so of gradients and of what an optimizer keeps.
        compute_dtype: of what layers compute with.
        output_dtype: of results, such as logits and losses.

    Example:
        >>> policy = nn.Policy("float32", "bfloat16", "float32")
        >>> policy.cast_to_compute({"x": fnp.ones(2), "n": 3})
        {'x': Array([1, 1], dtype=bfloat16), 'n': 3}
    """

    param_dtype: Any
    compute_dtype: Any
    output_dtype: Any

    def __post_init__(self) -> None:
        for name in ("param_dtype", "compute_dtype", "output_dtype"):
            dtype = dtypes.as_dtype(getattr(self, name))
            if not dtypes.is_float(dtype):
                raise ArgumentError(
                    f"Policy: {name} must be a dtype of floating point, got {dtype}",
                    mend="use float16, bfloat16, float32 or float64",
                )
            object.__setattr__(self, name, dtype)

    def cast_to_param(self, tree: PyTree) -> PyTree:
        """The tree with real floating arrays in the dtype of parameters, but for buffers."""
        return _cast(tree, self.param_dtype)

    def cast_to_compute(self, tree: PyTree) -> PyTree:
        """The tree with real floating arrays in the dtype of layers, but for buffers."""
        return _cast(tree, self.compute_dtype)

    def cast_to_output(self, tree: PyTree) -> PyTree:
        """The tree with real floating arrays in the dtype of results, but for buffers."""
        return _cast(tree, self.output_dtype)

    def with_output_dtype(self, output_dtype: Any) -> "Policy":
        """The policy with another dtype of results."""
        return replace(self, output_dtype=output_dtype)

    def __str__(self) -> str:
        """What `get_policy` reads."""
        return f"params={self.param_dtype},compute={self.compute_dtype},output={self.output_dtype}"


def _cast(tree: PyTree, dtype: np.dtype[Any]) -> PyTree:
    """Buffers stay the same objects, by which `training` knows them; so does what has the dtype."""

    def cast(leaf: Any, cast_it: bool) -> Any:
        if not cast_it or not dtypes.is_float(aval_of(leaf).dtype):
            return leaf
        return leaf if aval_of(leaf).dtype == dtype else leaf.astype(dtype)

    return tree_map(cast, tree, trainable(tree))


_PARTS = {"params": "param", "compute": "compute", "output": "output"}
_SHORT_PARTS = {"p": "params", "c": "compute", "o": "output"}
_SHORT_DTYPES = {"f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64"}


def get_policy(text: str) -> Policy:
    """The policy that a text names: a dtype for everything, or one for each part.

    Args:
        text: such as "bfloat16", "params=float32,compute=bfloat16,output=float32", or with short
            names, "p=f32,c=bf16,o=f32". Results have the dtype of layers if it says nothing else.

    Raises:
        ArgumentError: the text is none of these.

    Example:
        >>> print(nn.get_policy("p=f32,c=bf16"))
        params=float32,compute=bfloat16,output=bfloat16
    """
    given: dict[str, str] = {}
    for entry in text.replace(" ", "").split(","):
        part, equals, dtype = entry.rpartition("=")
        given[_SHORT_PARTS.get(part, part) if equals else "all"] = _SHORT_DTYPES.get(dtype, dtype)
    try:
        if given.keys() == {"all"}:
            return Policy(*[np.dtype(given["all"])] * 3)
        given.setdefault("output", given["compute"])
        if given.keys() != _PARTS.keys():
            raise KeyError
        return Policy(*(np.dtype(given[part]) for part in _PARTS))
    except (KeyError, TypeError) as error:
        raise ArgumentError(
            f"get_policy: {text!r} is no policy",
            mend='write it like "params=float32,compute=bfloat16,output=float32", or "bfloat16"',
        ) from error
