"""Which parameters are static, and the keys of their values."""

import pytest

from funcflow.core.errors import ArgumentError, UnhashableStaticError
from funcflow.transforms.static_arguments import StaticArguments, exact_key, listed


def f(a, b, c=3, *, d=4):
    return a, b, c, d


@pytest.mark.parametrize(("nums", "names"), [((1,), ()), ((), ("b",)), ((-2,), ()), ((1,), ("b",))])
def test_places_and_names_complete_each_other(nums, names):
    static = StaticArguments("test", f, nums, names)
    assert (static.nums, static.names) == ((1,), ("b",))
    for args, kwargs in (((1, "b"), {}), ((1,), {"b": "b"})):
        bound, args, kwargs, key = static.bind(f, args, kwargs)
        assert (args, kwargs) == ((1,), {})
        assert bound(10, d=5) == (10, "b", 3, 5)
        assert key[0][1] == exact_key("b")


def test_keyword_only_parameters_and_functions_with_any_arguments():
    assert StaticArguments("test", f, (), ("d",)).nums == ()
    static = StaticArguments("test", lambda *args, **kwargs: (args, kwargs), (5, -1), ("z",))
    bound, args, kwargs, _ = static.bind(lambda *args, **kw: (args, kw), (1, 2), {"z": 3, "y": 4})
    assert (args, kwargs) == ((1,), {"y": 4})
    assert bound(10, y=40) == ((10, 2), {"y": 40, "z": 3})


def test_keys_tell_apart_what_is_equal():
    values = [1, 1.0, True, 0.0, -0.0, (1,), (1.0,), ((True,),), ((1,),), 1j, "1", None, float]
    assert len({exact_key(v) for v in values}) == len(values)
    assert exact_key(float("nan")) == exact_key(float("nan"))
    assert exact_key((1, ("a", 2.5))) == exact_key((1, ("a", 2.5)))


def test_errors():
    with pytest.raises(ArgumentError, match="3 positional arguments"):
        StaticArguments("test", f, (3,), ())
    with pytest.raises(ArgumentError, match="'e' is not there: the function takes a, b, c, d"):
        StaticArguments("test", f, (), ("e",))
    with pytest.raises(UnhashableStaticError, match=r"'b' is \[\]"):
        StaticArguments("test", f, (), ("b",)).bind(f, (1,), {"b": []})


def test_listed():
    assert [listed(x) for x in (None, 1, "a", [1, 2])] == [(), (1,), ("a",), (1, 2)]
