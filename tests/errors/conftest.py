"""What every refusal has to say, and the checks for that."""

import inspect
import sys
from collections.abc import Callable
from typing import Any

import pytest

from funcflow.errors import FuncflowError


def assert_refuses(kind: type[FuncflowError], call: Callable[[], Any], *words: str) -> str:
    """Check that `call()` raises exactly `kind` with a message that helps.

    The message must contain `words` (the function called, the argument, what was expected, what
    arrived), the line of the calling test that is to blame, and a mend. Returns the message.
    """
    with pytest.raises(kind) as info:
        call()
    error = info.value
    message = str(error)
    assert type(error) is kind
    for word in words:
        assert word in message
    test = sys._getframe(1).f_code
    lines, first = inspect.getsourcelines(test)
    assert error.source is not None
    assert error.source.file == test.co_filename
    assert first <= error.source.line < first + len(lines)
    place, shown = error.source, error.source.text()
    assert f"\n  at {place.file}:{place.line} ({place.function}): {shown}" in message
    assert shown
    assert error.mend
    assert f"\n  mend: {error.mend}" in message
    return message


@pytest.fixture
def refuses() -> Callable[..., str]:
    """See `assert_refuses`."""
    return assert_refuses
