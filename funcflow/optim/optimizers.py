"""The optimisers by their names: chains of the building blocks.

In all of them `learning_rate` is a number or a schedule, and where both appear, `mask` chooses the
parameters that `weight_decay` is for: a tree of booleans, or a function that makes one of the
parameters. The papers are named beside the building blocks.
"""

from typing import Any

from funcflow.core.typing import DTypeLike
from funcflow.optim.base import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    chain,
)
from funcflow.optim.clipping import clip_by_block_rms
from funcflow.optim.factored import scale_by_factored_rms
from funcflow.optim.masking import Mask, add_decayed_weights
from funcflow.optim.moments import (
    scale_by_adam,
    scale_by_adamax,
    scale_by_amsgrad,
    scale_by_lion,
)
from funcflow.optim.momentum import ema, trace
from funcflow.optim.scaling import (
    scale,
    scale_by_learning_rate,
    scale_by_param_block_rms,
    scale_by_trust_ratio,
)
from funcflow.optim.squares import (
    scale_by_adadelta,
    scale_by_rms,
    scale_by_rss,
    scale_by_stddev,
)


def sgd(
    learning_rate: ScalarOrSchedule,
    momentum: Any = None,
    nesterov: bool = False,
    accumulator_dtype: DTypeLike = None,
) -> GradientTransformationExtraArgs:
    """Gradient descent, with `momentum` or, with `nesterov`, Nesterov's; see `trace`.

    Example:
        >>> optimizer = ff.optim.sgd(0.1, momentum=0.9)
        >>> optimizer.update(fnp.ones(1), optimizer.init(fnp.zeros(1)))[0]
        Array([-0.1], dtype=float32)
    """
    links = [] if momentum is None else [trace(momentum, nesterov, accumulator_dtype)]
    return chain(*links, scale_by_learning_rate(learning_rate))


def adagrad(
    learning_rate: ScalarOrSchedule,
    initial_accumulator_value: float = 0.1,
    eps: Any = 1e-7,
) -> GradientTransformationExtraArgs:
    """Adagrad: steps that shrink with the sum of squares of the gradients; see `scale_by_rss`."""
    return chain(
        scale_by_rss(initial_accumulator_value, eps), scale_by_learning_rate(learning_rate)
    )


def adadelta(
    learning_rate: ScalarOrSchedule = 1.0,
    rho: Any = 0.9,
    eps: Any = 1e-6,
    weight_decay: Any = 0.0,
    weight_decay_mask: Mask | None = None,
) -> GradientTransformationExtraArgs:
    """Adadelta: steps of the size of past steps; see `scale_by_adadelta`.

    `weight_decay` is added to the gradients, where `weight_decay_mask` has it so.
    """
    return chain(
        *_decay(weight_decay, weight_decay_mask),
        scale_by_adadelta(rho, eps),
        scale_by_learning_rate(learning_rate),
    )


def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: Any = 0.9,
    eps: Any = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Any = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> GradientTransformationExtraArgs:
    """RMSProp: steps divided by the root mean square of the gradients; see `scale_by_rms`.

    Args:
        learning_rate: a number or a schedule; it comes before the momentum.
        decay: of the average.
        eps: is added below the root, or to it.
        initial_scale: what the average begins with.
        eps_in_sqrt: whether `eps` is added below the root.
        centered: whether the standard deviation takes the place of the root mean square.
        momentum: of the steps; None for none.
        nesterov: whether the momentum is Nesterov's.
        bias_correction: whether to make up for an average that began at zero.
    """
    scale_by = scale_by_stddev if centered else scale_by_rms
    return chain(
        scale_by(decay, eps, initial_scale, eps_in_sqrt, bias_correction),
        scale_by_learning_rate(learning_rate),
        *([] if momentum is None else [trace(momentum, nesterov)]),
    )


def adam(
    learning_rate: ScalarOrSchedule,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: DTypeLike = None,
    *,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """Adam; see `scale_by_adam` for the arguments.

    Example:
        >>> def loss(w):
        ...     return fnp.sum((w - 3.0) ** 2)
        >>> optimizer = ff.optim.adam(0.1)
        >>> @ff.jit
        ... def step(w, state):
        ...     updates, state = optimizer.update(ff.grad(loss)(w), state)
        ...     return ff.optim.apply_updates(w, updates), state
        >>> w = fnp.zeros(2)
        >>> state = optimizer.init(w)
        >>> for _ in range(300):
        ...     w, state = step(w, state)
        >>> bool(loss(w) < 1e-6)
        True
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_learning_rate(learning_rate),
    )


def nadam(
    learning_rate: ScalarOrSchedule,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: DTypeLike = None,
) -> GradientTransformationExtraArgs:
    """Adam with Nesterov's momentum; see `scale_by_adam`."""
    return adam(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov=True)


def adamw(
    learning_rate: ScalarOrSchedule,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: DTypeLike = None,
    weight_decay: Any = 1e-4,
    mask: Mask | None = None,
    *,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """Adam whose weight decay is not divided by the averages; see `add_decayed_weights`.

    Parameters decay by `learning_rate * weight_decay` in a step. `update` needs them.

    Example:
        Biases, which are vectors, do not decay:

        >>> def matrices(params):
        ...     return ff.tree.map(lambda p: p.ndim > 1, params)
        >>> optimizer = ff.optim.adamw(1e-3, weight_decay=0.1, mask=matrices)
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


def nadamw(
    learning_rate: ScalarOrSchedule,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: DTypeLike = None,
    weight_decay: Any = 1e-4,
    mask: Mask | None = None,
) -> GradientTransformationExtraArgs:
    """`adamw` with Nesterov's momentum."""
    return adamw(learning_rate, b1, b2, eps, eps_root, mu_dtype, weight_decay, mask, nesterov=True)


def amsgrad(
    learning_rate: ScalarOrSchedule,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: DTypeLike = None,
) -> GradientTransformationExtraArgs:
    """AMSGrad, Adam whose step sizes never grow; see `scale_by_amsgrad`."""
    return chain(
        scale_by_amsgrad(b1, b2, eps, eps_root, mu_dtype), scale_by_learning_rate(learning_rate)
    )


def adamax(
    learning_rate: ScalarOrSchedule, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8
) -> GradientTransformationExtraArgs:
    """Adamax, Adam with the largest magnitude in place of the mean; see `scale_by_adamax`."""
    return chain(scale_by_adamax(b1, b2, eps), scale_by_learning_rate(learning_rate))


def lion(
    learning_rate: ScalarOrSchedule,
    b1: Any = 0.9,
    b2: Any = 0.99,
    mu_dtype: DTypeLike = None,
    weight_decay: Any = 1e-3,
    mask: Mask | None = None,
) -> GradientTransformationExtraArgs:
    """Lion: steps of one size, in the direction of a sign; see `scale_by_lion`.

    `update` needs the parameters, for the weight decay. A good learning rate is 3 to 10 times
    smaller than for `adamw`, the weight decay as many times larger.
    """
    return chain(
        scale_by_lion(b1, b2, mu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


def lamb(
    learning_rate: ScalarOrSchedule,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-6,
    eps_root: Any = 0.0,
    weight_decay: Any = 0.0,
    mask: Mask | None = None,
) -> GradientTransformationExtraArgs:
    """LAMB: Adam's steps in the size of the parameters, for large batches; `scale_by_trust_ratio`.

    `update` needs the parameters.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_trust_ratio(),
        scale_by_learning_rate(learning_rate),
    )


def adafactor(
    learning_rate: ScalarOrSchedule | None = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: Any = 0.8,
    decay_offset: Any = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: Any = 1.0,
    momentum: Any = None,
    dtype_momentum: DTypeLike = "float32",
    weight_decay_rate: Any = None,
    eps: Any = 1e-30,
    factored: bool = True,
    weight_decay_mask: Mask | None = None,
) -> GradientTransformationExtraArgs:
    """Adafactor: a state of the size of rows and columns; see `scale_by_factored_rms`.

    Args:
        learning_rate: relative to the root mean square of a parameter; None for 1.
        min_dim_size_to_factor: matrices with a shorter side keep all averages of squares.
        decay_rate: the average of step t has the decay `1 - t**-decay_rate`.
        decay_offset: the number of the first step, when a training goes on.
        multiply_by_parameter_scale: whether steps are relative to the size of the parameter.
        clipping_threshold: the largest root mean square of an update; None for any.
        momentum: the decay of an average of the updates; None for none.
        dtype_momentum: of that average.
        weight_decay_rate: what is taken from the parameters in a step; None for nothing.
        eps: is added to the squares.
        factored: whether to factor at all.
        weight_decay_mask: which parameters decay.

    `update` needs the parameters unless both things that depend on them are off.
    """
    links: list[GradientTransformation] = [
        scale_by_factored_rms(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)
    ]
    if clipping_threshold is not None:
        links.append(clip_by_block_rms(clipping_threshold))
    if learning_rate is not None:
        links.append(scale_by_learning_rate(learning_rate, flip_sign=False))
    if multiply_by_parameter_scale:
        links.append(scale_by_param_block_rms())
    if momentum is not None:
        links.append(ema(momentum, debias=False, accumulator_dtype=dtype_momentum))
    if weight_decay_rate is not None:
        links.append(add_decayed_weights(weight_decay_rate, weight_decay_mask))
    return chain(*links, scale(-1))


def _decay(weight_decay: Any, mask: Mask | None) -> list[GradientTransformation]:
    """The decay in front of a method; nothing if the factor is a plain zero."""
    off = isinstance(weight_decay, int | float) and weight_decay == 0
    return [] if off else [add_decayed_weights(weight_decay, mask)]
