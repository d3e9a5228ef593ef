"""Dtypes and what is asked of them: `ff.dtypes.issubdtype(x.dtype, ff.dtypes.prng_key)`."""

from funcflow.core.dtypes import as_dtype as canonicalize_dtype
from funcflow.core.dtypes import bfloat16, extended, float0, prng_key
from funcflow.numpy import finfo, iinfo, issubdtype, promote_types, result_type

__all__ = [
    "bfloat16",
    "canonicalize_dtype",
    "extended",
    "finfo",
    "float0",
    "iinfo",
    "issubdtype",
    "prng_key",
    "promote_types",
    "result_type",
]
