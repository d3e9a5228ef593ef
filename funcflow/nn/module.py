"""`Module`: a class whose instances are pytrees of parameters.

class Mlp(nn.Module):
    hidden: nn.Linear
    out: nn.Linear

    def __call__(self, x):
        return self.out(nn.relu(self.hidden(x)))
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, Self, dataclass_transform

from funcflow.core.errors import ArgumentError, ImmutableError, UnhashableStaticError
from funcflow.core.registration import register_dataclass
from funcflow.nn.calls import watched
from funcflow.nn.printing import module_repr


def static(**options: Any) -> Any:
    """A field that is no part of the parameters: a size, a mode, a function.

    Its value belongs to the structure of the tree, so it must be hashable; a jitted function is
    traced anew for another value. `options` are those of `dataclasses.field`.

    Example:
        >>> class Scale(nn.Module):
        ...     factor: ff.Array
        ...     power: int = nn.static(default=1)
        ...     def __call__(self, x):
        ...         return self.factor * x**self.power
        >>> ff.tree.leaves(Scale(2.0, power=3))
        [2.0]
    """
    return dataclasses.field(metadata={"static": True}, **options)


def buffer(**options: Any) -> Any:
    """A field whose arrays are no parameters, but are saved, moved and mapped with them.

    Running averages are such arrays: they are leaves of the tree, `trainable` tells them from
    parameters, and `update_buffer` gives them new values while a model is trained. `options` are
    those of `dataclasses.field`.
    """
    return dataclasses.field(metadata={"buffer": True}, **options)


@dataclass_transform(field_specifiers=(dataclasses.field, static, buffer))
class Module:
    """Base of layers and models: a frozen dataclass that is registered as a pytree.

    A subclass lists its fields as a dataclass does. They hold arrays, other modules, and containers
    of these, which are the tree's children, or what `static` and `buffer` declare. A class without
    a constructor gets that of a dataclass; one of its own assigns each field once. After that a
    module never changes: `tree_at` and `dataclasses.replace` make changed copies. A class inherits
    a constructor that is written by hand; `class Wide(Narrow, init=False)` tells type checkers.

    So all that works on trees works on models: `ff.grad` gives a module of gradients, `ff.vmap`
    over a module runs an ensemble, `ff.tree.map` and `ff.jit` take modules as they are.

    Calling a module infers: dropout is idle, batch norm uses its running averages. `training` runs
    any function of a model in training mode.

    Raises:
        ImmutableError: a field is assigned a second time.
        UnhashableStaticError: the value of a static field is not hashable.

    Example:
        >>> class Affine(nn.Module):
        ...     weight: ff.Array
        ...     bias: ff.Array
        ...     def __call__(self, x):
        ...         return x @ self.weight + self.bias
        >>> model = Affine(fnp.ones((3, 2)), bias=fnp.zeros(2))
        >>> ff.grad(lambda m, x: m(x).sum())(model, fnp.ones(3)).bias
        Array([1., 1.], dtype=float32)
    """

    # What subclasses have, for type checkers.
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    __call__: ClassVar[Callable[..., Any]]
    # Whether the constructor is written by hand, in the class or in one that it derives from.
    _own_init: ClassVar[bool] = False

    def __init_subclass__(cls, init: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._own_init = cls._own_init or not init or "__init__" in cls.__dict__
        dataclasses.dataclass(eq=False, repr=False, init=not cls._own_init)(cls)
        cls.__init__ = _completed(cls, cls.__init__)
        if "__call__" in cls.__dict__:
            cls.__call__ = watched(cls.__call__)
        data = [f.name for f in cls.data_fields()]
        meta = [f.name for f in dataclasses.fields(cls) if f.name not in data]
        register_dataclass(cls, data, meta)

    def __setattr__(self, name: str, value: Any) -> None:
        cls = type(self).__name__
        if name not in self.__dataclass_fields__:
            raise ArgumentError(
                f"{cls} has no field {name!r}",
                mend=f"declare it in the class: `{name}: ff.Array`, or `= nn.static()`",
            )
        if name in self.__dict__:
            raise ImmutableError(
                f"{cls}.{name} is set already, and modules do not change",
                mend=f"make a changed copy: `nn.tree_at(lambda m: m.{name}, model, value)`",
            )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise ImmutableError(f"{type(self).__name__}.{name} cannot be deleted: modules are frozen")

    def __repr__(self) -> str:
        return module_repr(self)

    @classmethod
    def data_fields(cls) -> tuple[dataclasses.Field[Any], ...]:
        """The fields that are children of the tree: all but the static ones."""
        fields = dataclasses.fields(cls)
        return tuple(f for f in fields if not f.metadata.get("static", False))

    def replace(self, **fields: Any) -> Self:
        """A copy with other values of some fields; the constructor is not called.

        Raises:
            ArgumentError: there is no such field.

        Example:
            >>> nn.Dropout(0.5).replace(rate=0.1)
            Dropout(rate=0.1)
        """
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        for name, value in fields.items():
            copy.__dict__.pop(name, None)
            setattr(copy, name, value)
        return copy


def _completed(cls: type[Module], init: Callable[..., None]) -> Callable[..., None]:
    """A constructor that gives fields their defaults, and refuses to leave one without a value."""

    @functools.wraps(init)
    def __init__(self: Module, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if type(self) is cls:
            _complete(self)

    return __init__


def _complete(module: Module) -> None:
    cls = type(module).__name__
    for field in dataclasses.fields(module):
        if field.name not in module.__dict__:
            if field.default is dataclasses.MISSING:
                raise ArgumentError(
                    f"{cls}.__init__ gave no value to the field {field.name!r}",
                    mend=f"assign `self.{field.name}`, None if there is nothing",
                )
            object.__setattr__(module, field.name, field.default)
        if field.metadata.get("static", False):
            _require_hashable(cls, field.name, module.__dict__[field.name])


def _require_hashable(cls: str, name: str, value: Any) -> None:
    try:
        hash(value)
    except TypeError as error:
        raise UnhashableStaticError(
            f"the static field {cls}.{name} has the value {value!r}, which is not hashable",
            mend="use a tuple for a list; arrays are no static fields",
        ) from error
