"""Optimisers: pairs of pure functions `init` and `update`, and schedules of their settings.

The names, signatures and meanings are those of optax.
"""

# ruff: noqa: F401

from funcflow.optim import contrib as contrib
from funcflow.optim.base import EmptyState as EmptyState
from funcflow.optim.base import GradientTransformation as GradientTransformation
from funcflow.optim.base import GradientTransformationExtraArgs as GradientTransformationExtraArgs
from funcflow.optim.base import ScalarOrSchedule as ScalarOrSchedule
from funcflow.optim.base import Schedule as Schedule
from funcflow.optim.base import apply_updates as apply_updates
from funcflow.optim.base import chain as chain
from funcflow.optim.base import identity as identity
from funcflow.optim.base import incremental_update as incremental_update
from funcflow.optim.base import set_to_zero as set_to_zero
from funcflow.optim.base import stateless as stateless
from funcflow.optim.base import with_extra_args_support as with_extra_args_support
from funcflow.optim.clipping import clip as clip
from funcflow.optim.clipping import clip_by_block_rms as clip_by_block_rms
from funcflow.optim.clipping import clip_by_global_norm as clip_by_global_norm
from funcflow.optim.clipping import global_norm as global_norm
from funcflow.optim.factored import FactoredState as FactoredState
from funcflow.optim.factored import scale_by_factored_rms as scale_by_factored_rms
from funcflow.optim.hyperparams import InjectHyperparamsState as InjectHyperparamsState
from funcflow.optim.hyperparams import inject_hyperparams as inject_hyperparams
from funcflow.optim.lbfgs import ScaleByLBFGSState as ScaleByLBFGSState
from funcflow.optim.lbfgs import lbfgs as lbfgs
from funcflow.optim.lbfgs import scale_by_lbfgs as scale_by_lbfgs
from funcflow.optim.linesearch import ScaleByZoomLinesearchState as ScaleByZoomLinesearchState
from funcflow.optim.linesearch import ZoomLinesearchInfo as ZoomLinesearchInfo
from funcflow.optim.linesearch import scale_by_zoom_linesearch as scale_by_zoom_linesearch
from funcflow.optim.linesearch import value_and_grad_from_state as value_and_grad_from_state
from funcflow.optim.masking import MaskedState as MaskedState
from funcflow.optim.masking import PartitionState as PartitionState
from funcflow.optim.masking import add_decayed_weights as add_decayed_weights
from funcflow.optim.masking import masked as masked
from funcflow.optim.masking import partition as multi_transform
from funcflow.optim.masking import partition as partition
from funcflow.optim.moments import ScaleByAdamState as ScaleByAdamState
from funcflow.optim.moments import ScaleByAmsgradState as ScaleByAmsgradState
from funcflow.optim.moments import ScaleByLionState as ScaleByLionState
from funcflow.optim.moments import scale_by_adam as scale_by_adam
from funcflow.optim.moments import scale_by_adamax as scale_by_adamax
from funcflow.optim.moments import scale_by_amsgrad as scale_by_amsgrad
from funcflow.optim.moments import scale_by_lion as scale_by_lion
from funcflow.optim.momentum import EmaState as EmaState
from funcflow.optim.momentum import TraceState as TraceState
from funcflow.optim.momentum import ema as ema
from funcflow.optim.momentum import trace as trace
from funcflow.optim.optimizers import adadelta as adadelta
from funcflow.optim.optimizers import adafactor as adafactor
from funcflow.optim.optimizers import adagrad as adagrad
from funcflow.optim.optimizers import adam as adam
from funcflow.optim.optimizers import adamax as adamax
from funcflow.optim.optimizers import adamw as adamw
from funcflow.optim.optimizers import amsgrad as amsgrad
from funcflow.optim.optimizers import lamb as lamb
from funcflow.optim.optimizers import lion as lion
from funcflow.optim.optimizers import nadam as nadam
from funcflow.optim.optimizers import nadamw as nadamw
from funcflow.optim.optimizers import rmsprop as rmsprop
from funcflow.optim.optimizers import sgd as sgd
from funcflow.optim.plateau import ReduceLROnPlateauState as ReduceLROnPlateauState
from funcflow.optim.plateau import reduce_on_plateau as reduce_on_plateau
from funcflow.optim.scaling import ScaleByScheduleState as ScaleByScheduleState
from funcflow.optim.scaling import scale as scale
from funcflow.optim.scaling import scale_by_learning_rate as scale_by_learning_rate
from funcflow.optim.scaling import scale_by_param_block_rms as scale_by_param_block_rms
from funcflow.optim.scaling import scale_by_schedule as scale_by_schedule
from funcflow.optim.scaling import scale_by_trust_ratio as scale_by_trust_ratio
from funcflow.optim.schedule_pieces import cosine_onecycle_schedule as cosine_onecycle_schedule
from funcflow.optim.schedule_pieces import join_schedules as join_schedules
from funcflow.optim.schedule_pieces import linear_onecycle_schedule as linear_onecycle_schedule
from funcflow.optim.schedule_pieces import (
    piecewise_constant_schedule as piecewise_constant_schedule,
)
from funcflow.optim.schedule_pieces import (
    piecewise_interpolate_schedule as piecewise_interpolate_schedule,
)
from funcflow.optim.schedule_pieces import sgdr_schedule as sgdr_schedule
from funcflow.optim.schedule_pieces import warmup_constant_schedule as warmup_constant_schedule
from funcflow.optim.schedule_pieces import (
    warmup_cosine_decay_schedule as warmup_cosine_decay_schedule,
)
from funcflow.optim.schedule_pieces import (
    warmup_exponential_decay_schedule as warmup_exponential_decay_schedule,
)
from funcflow.optim.schedules import constant_schedule as constant_schedule
from funcflow.optim.schedules import cosine_decay_schedule as cosine_decay_schedule
from funcflow.optim.schedules import exponential_decay as exponential_decay
from funcflow.optim.schedules import linear_schedule as linear_schedule
from funcflow.optim.schedules import polynomial_schedule as polynomial_schedule
from funcflow.optim.squares import ScaleByAdaDeltaState as ScaleByAdaDeltaState
from funcflow.optim.squares import ScaleByRmsState as ScaleByRmsState
from funcflow.optim.squares import ScaleByRssState as ScaleByRssState
from funcflow.optim.squares import ScaleByRStdDevState as ScaleByRStdDevState
from funcflow.optim.squares import scale_by_adadelta as scale_by_adadelta
from funcflow.optim.squares import scale_by_rms as scale_by_rms
from funcflow.optim.squares import scale_by_rss as scale_by_rss
from funcflow.optim.squares import scale_by_stddev as scale_by_stddev
from funcflow.optim.wrappers import ApplyIfFiniteState as ApplyIfFiniteState
from funcflow.optim.wrappers import MultiSteps as MultiSteps
from funcflow.optim.wrappers import MultiStepsState as MultiStepsState
from funcflow.optim.wrappers import apply_if_finite as apply_if_finite
