"""Every error class has a test here, an example that raises it, and a place in the tree."""

import inspect
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors
from funcflow.core.errors import FuncflowError

CLASSES = [kind for name, kind in vars(errors).items() if name.endswith("Error")]
CONCRETE = [kind for kind in CLASSES if kind is not FuncflowError]
TESTS = "".join(path.read_text("utf-8") for path in sorted(Path(__file__).parent.glob("test_*.py")))


def subclasses(kind: type) -> set[type]:
    return {kind}.union(*map(subclasses, kind.__subclasses__()))


def example(kind: type) -> str:
    """The indented code in a class's docstring."""
    blocks = inspect.cleandoc(kind.__doc__ or "").split("\n\n")
    return textwrap.dedent("\n\n".join(b for b in blocks if b.startswith("    ")))


def test_all_classes_are_public():
    ours = {kind for kind in subclasses(FuncflowError) if kind.__module__.startswith("funcflow.")}
    assert ours == set(CLASSES)


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.__name__)
def test_each_class_has_a_test(kind):
    named = re.findall(r"errors\.(\w+)", TESTS)
    assert kind.__name__ in named


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.__name__)
def test_each_class_has_an_example_that_raises_it_and_a_mend(kind):
    code = example(kind)
    assert code
    assert "\nMend: " in inspect.cleandoc(kind.__doc__ or "")
    with pytest.raises(kind) as info:
        exec(compile(code, "<string>", "exec"), {"ff": ff, "fnp": fnp, "np": np})
    assert type(info.value) is kind
    assert info.value.mend
    assert "\n  mend: " in str(info.value)


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.__name__)
def test_each_class_is_what_python_would_raise(kind):
    """`except TypeError` and the like, in programs written for NumPy or JAX, keep working."""
    if kind is not errors.UnexpectedTracerError:  # which stands for no built-in error
        assert set(kind.__mro__) - {FuncflowError, Exception, BaseException, object, kind}


def test_a_message_without_a_user():
    error = FuncflowError("f: a message", mend="do this")
    assert str(error).startswith("f: a message\n  at ")
    assert str(error).endswith("\n  mend: do this")
