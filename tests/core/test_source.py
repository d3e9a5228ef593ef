"""Which line of the user's program an operation is attributed to."""

import inspect
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from funcflow.core import source
from funcflow.core.errors import ArgumentError
from funcflow.core.source import (
    Source,
    at_source,
    attributed,
    is_internal,
    own_lines,
    set_source,
    user_source,
)
from funcflow.core.staging import stage_out
from funcflow.lax.forms import add


def here():
    frame = inspect.currentframe().f_back
    return Source(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def test_the_innermost_line_of_the_user():
    assert user_source() == here()
    assert (lambda: user_source())().function == "<lambda>"


def test_lines_of_the_package_are_skipped():
    def double(x):
        return [add(x, x)]

    def first_line(function):
        return inspect.getsourcelines(function)[1]

    aval = add(1.0, 1.0).aval
    (eqn,) = stage_out(double, [aval]).eqns
    assert eqn.source == Source(__file__, first_line(double) + 1, "double")


def test_what_is_internal():
    assert is_internal(source.__file__)
    assert is_internal("<frozen importlib._bootstrap>")
    assert not is_internal(__file__)
    assert not is_internal("<string>")
    assert not is_internal("<stdin>")
    assert not is_internal("/home/user/optree_experiments/train.py")
    assert not is_internal("/home/user/funcflow_experiments/train.py")


def test_in_a_thread():
    found = []
    ours = map(attributed, [None], [user_source])  # called by no function written in Python
    thread = threading.Thread(target=found.extend, args=(ours,))
    thread.start()
    thread.join()
    assert found == [None]


def test_overrides():
    place = Source("model.py", 3, "loss")
    with at_source(place):
        assert user_source() == place
        with at_source(None):
            assert user_source() == here()
            set_source(place._replace(line=4))
            assert user_source().line == 4
        assert user_source() == place
    assert user_source() == here()


def test_overrides_end_with_errors():
    with pytest.raises(KeyError), at_source(Source("model.py", 3, "loss")):
        raise KeyError
    assert user_source() == here()


def test_calls_are_attributed_to_a_place():
    place = Source("model.py", 3, "loss")
    assert attributed(place, user_source) == place
    assert attributed(place, lambda x, y: (x, y, user_source()), 1, y=2) == (1, 2, place)
    assert user_source() == here()


def test_rules_of_users_keep_their_own_lines():
    def rule(x):
        return x, user_source()

    place = Source("model.py", 3, "loss")
    with at_source(place):
        assert rule(1) == (1, place)
        x, found = own_lines(rule)(1)
        assert own_lines(user_source) is user_source  # this package's are left as they are
        assert own_lines(len) is len
    assert (x, found.function, found.file) == (1, "rule", __file__)
    assert own_lines(rule).__name__ == "rule"


def test_text():
    place = here()
    assert place.text() == "place = here()"
    assert str(place) == f"{__file__}:{place.line} (test_text)"
    assert Source("no such file", 1, "f").text() == ""


def test_cells_of_notebooks_have_their_names(monkeypatch):
    names = {"/tmp/ipykernel_1/2.py": ("Cell", "In[3]")}
    shell = SimpleNamespace(compile=SimpleNamespace(format_code_name=names.get))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert str(Source("/tmp/ipykernel_1/2.py", 4, "loss")) == "In[3]:4 (loss)"
    assert str(Source("model.py", 4, "loss")) == "model.py:4 (loss)"


def test_code_from_strings_has_a_place():
    names = {"user_source": user_source}
    exec("def f():\n    return user_source()", names)
    assert names["f"]() == Source("<string>", 2, "f")


def test_errors_show_the_line():
    with pytest.raises(ArgumentError) as caught:
        raise ArgumentError("too long", mend="shorten it")
    first, second, third = str(caught.value).splitlines()
    assert first == "too long"
    assert second.startswith(f"  at {__file__}:")
    assert second.endswith('raise ArgumentError("too long", mend="shorten it")')
    assert third == "  mend: shorten it"
    assert (caught.value.mend, caught.value.source.file) == ("shorten it", __file__)


def test_a_lookup_costs_about_a_microsecond():
    start = time.perf_counter()
    for _ in range(1000):
        user_source()
    # about 0.7 ms; the bound leaves room for a machine that is busy
    assert time.perf_counter() - start < 0.1
