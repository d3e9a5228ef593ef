"""Classes as nodes of pytrees: each says how it is taken apart and put together again.

Everything is registered in a namespace of our own, so that other users of optree see nothing of it.
"""

import dataclasses
import functools
import inspect
import operator
from collections.abc import Callable, Hashable, Iterable, Sequence
from types import CodeType
from typing import Any, TypeAlias, TypeVar

import optree

from funcflow.core.errors import ArgumentError

NAMESPACE = "funcflow"
C = TypeVar("C", bound=type[Any])
# Gives the children of a node and what else belongs to it.
TakeApart: TypeAlias = Callable[[Any], tuple[Sequence[Any], Hashable]]
_optree: Any = optree  # for functions whose annotations want nodes to be collections
_registered: dict[type[Any], TakeApart] = {}
_fields: dict[type[Any], tuple[tuple[str, ...], tuple[str, ...]]] = {}


def register_pytree_node(
    nodetype: type[Any],
    flatten_func: Callable[[Any], tuple[Iterable[Any], Hashable]],
    unflatten_func: Callable[[Any, Any], Any],
    flatten_with_keys_func: Callable[[Any], tuple[Iterable[Any], Hashable]] | None = None,
) -> None:
    """Make a class a node.

    `flatten_func(x)` returns `(children, aux)`; `unflatten_func(aux, children)` rebuilds.
    """

    def flatten(x: Any) -> Any:
        if flatten_with_keys_func is None:
            children, aux = flatten_func(x)
            return tuple(children), aux
        keyed, aux = flatten_with_keys_func(x)
        keys, children = zip(*keyed, strict=True) if keyed else ((), ())
        return children, aux, keys

    _register(nodetype, flatten, unflatten_func)


def _register(
    nodetype: type[Any], flatten: Callable[[Any], Any], unflatten: Callable[[Any, Any], Any]
) -> None:
    _optree.register_pytree_node(nodetype, flatten, unflatten, namespace=NAMESPACE)
    _registered[nodetype] = lambda x: flatten(x)[:2]


def register_pytree_with_keys(
    nodetype: type[Any],
    flatten_with_keys: Callable[[Any], tuple[Iterable[Any], Hashable]],
    unflatten_func: Callable[[Any, Any], Any],
    flatten_func: Callable[[Any], tuple[Iterable[Any], Hashable]] | None = None,
) -> None:
    """`register_pytree_node` whose children come as (key, child) pairs."""
    del flatten_func  # the children are in the keyed form already
    register_pytree_node(nodetype, _unkeyed, unflatten_func, flatten_with_keys)


def _unkeyed(x: Any) -> Any:
    raise ArgumentError(f"{type(x).__name__} is flattened with keys only")


def register_pytree_node_class(cls: C) -> C:
    """Class decorator: the class has `tree_flatten` and a class method `tree_unflatten`."""
    register_pytree_node(cls, lambda x: x.tree_flatten(), cls.tree_unflatten)
    return cls


def register_pytree_with_keys_class(cls: C) -> C:
    """Class decorator: the class has `tree_flatten_with_keys` and `tree_unflatten`."""
    register_pytree_node(cls, _unkeyed, cls.tree_unflatten, lambda x: x.tree_flatten_with_keys())
    return cls


def register_dataclass(
    nodetype: C,
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
    drop_fields: Sequence[str] = (),
) -> C:
    """Make a dataclass a node; usable as a decorator.

    Fields are children unless named in `meta_fields` or declared with
    `dataclasses.field(metadata={"static": True})`; those are part of the structure.
    """
    fields = [f for f in dataclasses.fields(nodetype) if f.init and f.name not in drop_fields]
    if meta_fields is None:
        meta_fields = [f.name for f in fields if f.metadata.get("static", False)]
    if data_fields is None:
        data_fields = [f.name for f in fields if f.name not in meta_fields]
    missing = {f.name for f in fields} - set(data_fields) - set(meta_fields)
    if missing:
        raise ArgumentError(
            f"register_dataclass: {nodetype.__name__} has fields {sorted(missing)} that are in "
            "neither data_fields nor meta_fields",
            mend="name each field in one of the two",
        )
    data, meta = tuple(data_fields), tuple(meta_fields)
    get_data, get_meta = _getter(data), _getter(meta)

    def flatten(x: Any) -> Any:
        return get_data(x), get_meta(x), data

    _register(nodetype, flatten, _maker(nodetype, data, meta))
    _fields[nodetype] = data, meta
    return nodetype


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """What takes these attributes of an object."""
    if len(names) > 1:
        return operator.attrgetter(*names)
    if not names:
        return lambda x: ()
    get = operator.attrgetter(*names)
    return lambda x: (get(x),)


def _maker(
    nodetype: type[Any], data: tuple[str, ...], meta: tuple[str, ...]
) -> Callable[[Any, Any], Any]:
    """What makes an object of its static fields and its children.

    It does not call `__init__`: a tree may hold tracers, avals or axes instead of what that checks.
    """

    def one_by_one(aux: Any, children: Any) -> Any:
        x = object.__new__(nodetype)
        for name, value in zip(data + meta, (*children, *aux), strict=True):
            object.__setattr__(x, name, value)
        return x

    # slots and properties are not in the dictionary
    found = [inspect.getattr_static(nodetype, name, None) for name in data + meta]
    if not nodetype.__dictoffset__ or any(hasattr(x, "__set__") for x in found):
        return one_by_one
    known: dict[str, Any] = {f"name{i}": name for i, name in enumerate(data + meta)}
    known |= {"new": object.__new__, "cls": nodetype}
    exec(_filling(len(data), len(meta)), known)
    return known["make"]


@functools.cache
def _filling(data: int, meta: int) -> CodeType:
    """Code that fills the dictionary of a new object; loops would take four times as long."""
    places = [f"fields[name{i}]" for i in range(data + meta)]
    return compile(
        f"""def make(aux, children):
            x = new(cls)
            fields = x.__dict__
            [{", ".join(places[:data])}] = children
            [{", ".join(places[data:])}] = aux
            return x""",
        "<fields>",
        "exec",
    )


def register_static(cls: C) -> C:
    """Class decorator: instances are structure without leaves; the class must be hashable.

    Example:
        >>> @ff.tree_util.register_static
        ... class Name(str):
        ...     pass
        >>> ff.jit(lambda x, how: x + 1 if how == "add" else x)(1, Name("add"))
        Array(2, dtype=int32, weak_type=True)
    """
    _register(cls, lambda x: ((), x), lambda x, children: x)
    return cls


def is_tree_node(typ: type[Any]) -> bool:
    """Whether instances of a class are nodes of trees: containers, named tuples, registered."""
    return _optree.register_pytree_node.get(typ, namespace=NAMESPACE) is not None


def dataclass_fields(typ: type[Any]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The fields of a registered dataclass: those that are children, those that are structure."""
    return _fields.get(typ)


def take_apart(typ: type[Any]) -> TakeApart | None:
    """What takes the instances of a registered class apart; None if it is not registered here."""
    return _registered.get(typ)


def is_namedtuple(typ: type[Any]) -> bool:
    """Whether the items of a class's instances are its children because they have names."""
    entry = _optree.register_pytree_node.get(typ, namespace=NAMESPACE)
    return entry is not None and entry.kind is optree.PyTreeKind.NAMEDTUPLE


class Partial(functools.partial[Any]):
    """`functools.partial` as a pytree: the function is structure, the arguments are children."""

    def __repr__(self) -> str:
        given = [repr(x) for x in self.args]
        given += [f"{name}={value!r}" for name, value in self.keywords.items()]
        return f"Partial({', '.join([repr(self.func), *given])})"


_register(
    Partial,
    lambda p: ((p.args, p.keywords), p.func, ("args", "keywords")),
    lambda func, children: Partial(func, *children[0], **children[1]),
)
