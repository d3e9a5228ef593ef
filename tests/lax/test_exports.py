"""The list of `lax`'s names is complete."""

import types

from funcflow import lax

NOT_OURS = {"TYPE_CHECKING"}


def test_all_names_are_exported():
    public = {
        name
        for name, value in vars(lax).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public - NOT_OURS | {"linalg"} == set(lax.__all__)
