"""The error classes; see `docs/errors.md`."""

from funcflow.core import errors as _errors
from funcflow.core.errors import *  # noqa: F403

__all__ = [name for name in vars(_errors) if name.endswith("Error")]
