"""`checkpoint`: save little in the forward pass, and compute it again in the backward pass."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.flatten import FlatFunction, flatten_arguments, name_of
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import tree_map
from funcflow.core.rules import define
from funcflow.core.staging import stage_out
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax.checkpoint import Policy, bind_checkpoint
from funcflow.lax.convolution import conv_general_dilated_p
from funcflow.lax.dot import dot_general_p
from funcflow.transforms.static_arguments import StaticArguments, listed

name_p = Primitive("name")


def checkpoint(
    fun: Callable[..., Any] | None = None,
    *,
    prevent_cse: bool = True,
    policy: Policy | None = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
) -> Any:
    """`fun`, whose intermediate values are computed again in the backward pass, not saved.

    Args:
        fun: a function of pytrees of arrays.
        prevent_cse: accepted for compatibility: the recomputation is never merged away.
        policy: which intermediate values to save all the same; one of `checkpoint_policies`, or
            `policy(primitive, *avals, **params) -> bool`. By default none.
        static_argnums: arguments that are Python values, by place.
        static_argnames: the same by name.

    Example:
        >>> ff.grad(ff.checkpoint(lambda x: fnp.sin(fnp.sin(x))))(0.0)
        Array(1., dtype=float32)
    """
    if fun is None:
        return partial(
            checkpoint,
            prevent_cse=prevent_cse,
            policy=policy,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
        )
    name = f"checkpoint of {name_of(fun)}"
    static = StaticArguments(name, fun, listed(static_argnums), listed(static_argnames))

    @hides_internal_frames
    @wraps(fun)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        bound, args, kwargs, _ = static.bind(fun, args, kwargs)
        leaves, in_tree = flatten_arguments(name, args, kwargs)
        flat = FlatFunction(bound, in_tree)
        closed = stage_out(flat, [aval_of(x) for x in leaves])
        outs = bind_checkpoint(closed, policy, *leaves)
        return flat.out_tree.unflatten(outs)

    return checkpointed


# --- names and policies ---------------------------------------------------------------------


def checkpoint_name(x: Any, name: str) -> Any:
    """`x`, with a name by which `checkpoint_policies.save_only_these_names` knows it."""
    return tree_map(lambda leaf: name_p.bind(leaf, name=name), x)


define(
    name_p,
    abstract=lambda x, *, name: x,
    impl=lambda xp, x, *, name: x,
    jvp=lambda ctx, primals, tangents, *, name: (name_p.bind(primals[0], name=name), tangents[0]),
    transpose=lambda ctx, ct, x, *, name: [ct],
    batch=lambda ctx, args, dims, *, name: (name_p.bind(args[0], name=name), dims[0]),
)


class checkpoint_policies:
    """What `checkpoint` may save: `checkpoint(f, policy=checkpoint_policies.dots_saveable)`."""

    @staticmethod
    def everything_saveable(primitive: Primitive, *_: Any, **__: Any) -> bool:
        """Save all values."""
        return True

    @staticmethod
    def nothing_saveable(primitive: Primitive, *_: Any, **__: Any) -> bool:
        """Save no value: compute all again."""
        return False

    @staticmethod
    def dots_saveable(primitive: Primitive, *_: Any, **__: Any) -> bool:
        """Save matrix products and convolutions."""
        return primitive in (dot_general_p, conv_general_dilated_p)

    @staticmethod
    def dots_with_no_batch_dims_saveable(primitive: Primitive, *_: Any, **params: Any) -> bool:
        """Save matrix products that have no batch dimensions."""
        return primitive is dot_general_p and not params["dimension_numbers"][1][0]

    checkpoint_dots = dots_saveable
    checkpoint_dots_with_no_batch_dims = dots_with_no_batch_dims_saveable

    @staticmethod
    def save_only_these_names(*names: str) -> Policy:
        """Save only values named with `checkpoint_name`."""

        def saves_names(primitive: Primitive, *_: Any, **params: Any) -> bool:
            return primitive is name_p and params["name"] in names

        return saves_names

    @staticmethod
    def save_any_names_but_these(*names: str) -> Policy:
        """Save all named values but these."""

        def saves_other_names(primitive: Primitive, *_: Any, **params: Any) -> bool:
            return primitive is name_p and params["name"] not in names

        return saves_other_names

    @staticmethod
    def save_anything_except_these_names(*names: str) -> Policy:
        """Save all values, named or not, but these."""

        def saves_all_but_names(primitive: Primitive, *_: Any, **params: Any) -> bool:
            return not (primitive is name_p and params["name"] in names)

        return saves_all_but_names

    @staticmethod
    def save_from_both_policies(*policies: Policy) -> Policy:
        """Save what one of the policies saves."""

        def saves_either(primitive: Primitive, *avals: Any, **params: Any) -> bool:
            return any(policy(primitive, *avals, **params) for policy in policies)

        return saves_either
