"""funcflow: composable transformations of NumPy programs.

    import funcflow as ff
    import funcflow.numpy as fnp

This module composes the layers: it re-exports the transforms and offers the backends.
"""

# ruff: noqa: F401

from importlib import import_module
from typing import TYPE_CHECKING, Any

from funcflow import core as core
from funcflow import debug as debug
from funcflow import dtypes as dtypes
from funcflow import errors as errors
from funcflow import experimental as experimental
from funcflow import flatten_util as flatten_util
from funcflow import lax as lax
from funcflow import numpy as numpy
from funcflow import random as random
from funcflow import tree as tree
from funcflow import tree_util as tree_util
from funcflow import typing as typing
from funcflow.backends import register_all
from funcflow.core.array import Array as Array
from funcflow.core.aval import ShapeDtypeStruct as ShapeDtypeStruct
from funcflow.core.config import config as config
from funcflow.core.config import enable_x64 as enable_x64
from funcflow.core.dtypes import float0 as float0
from funcflow.core.executables import clear_caches as clear_caches
from funcflow.core.pprint import jaxpr_to_text as jaxpr_to_text
from funcflow.transforms.callback import io_callback as io_callback
from funcflow.transforms.callback import pure_callback as pure_callback
from funcflow.transforms.checkpoint import checkpoint as checkpoint
from funcflow.transforms.checkpoint import checkpoint as remat
from funcflow.transforms.checkpoint import checkpoint_name as checkpoint_name
from funcflow.transforms.checkpoint import checkpoint_policies as checkpoint_policies
from funcflow.transforms.custom_gradient import closure_convert as closure_convert
from funcflow.transforms.custom_gradient import custom_gradient as custom_gradient
from funcflow.transforms.custom_jvp import custom_jvp as custom_jvp
from funcflow.transforms.custom_rule import custom_rule as custom_rule
from funcflow.transforms.custom_vjp import custom_vjp as custom_vjp
from funcflow.transforms.debug_indices import debug_indices as debug_indices
from funcflow.transforms.debug_nans import debug_nans as debug_nans
from funcflow.transforms.devices import Device as Device
from funcflow.transforms.devices import block_until_ready as block_until_ready
from funcflow.transforms.devices import default_backend as default_backend
from funcflow.transforms.devices import device_count as device_count
from funcflow.transforms.devices import device_get as device_get
from funcflow.transforms.devices import device_put as device_put
from funcflow.transforms.devices import devices as devices
from funcflow.transforms.devices import local_device_count as local_device_count
from funcflow.transforms.devices import local_devices as local_devices
from funcflow.transforms.devices import process_count as process_count
from funcflow.transforms.devices import process_index as process_index
from funcflow.transforms.grad import fwd_and_bwd as fwd_and_bwd
from funcflow.transforms.grad import grad as grad
from funcflow.transforms.grad import value_and_grad as value_and_grad
from funcflow.transforms.implicit import custom_linear_solve, custom_root
from funcflow.transforms.inspect import eval_shape as eval_shape
from funcflow.transforms.inspect import make_jaxpr as make_jaxpr
from funcflow.transforms.inspect import named_call as named_call
from funcflow.transforms.inspect import named_scope as named_scope
from funcflow.transforms.inspect import typeof as typeof
from funcflow.transforms.jacobian import hessian as hessian
from funcflow.transforms.jacobian import jacfwd as jacfwd
from funcflow.transforms.jacobian import jacrev as jacobian
from funcflow.transforms.jacobian import jacrev as jacrev
from funcflow.transforms.jit import disable_jit as disable_jit
from funcflow.transforms.jit import ensure_compile_time_eval as ensure_compile_time_eval
from funcflow.transforms.jit import jit as jit
from funcflow.transforms.jvp import jvp as jvp
from funcflow.transforms.linearize import linearize as linearize
from funcflow.transforms.linearize import vjp as vjp
from funcflow.transforms.numba_kernel import numba_kernel as numba_kernel
from funcflow.transforms.pmap import pmap as pmap
from funcflow.transforms.transpose import linear_transpose as linear_transpose
from funcflow.transforms.vmap import vmap as vmap

if TYPE_CHECKING:
    from funcflow import data as data
    from funcflow import interop as interop
    from funcflow import losses as losses
    from funcflow import nn as nn
    from funcflow import optim as optim
    from funcflow import testing as testing
    from funcflow import train as train

register_all()


# What only some programs need: these load at the first use.
_LAZY = {"data", "interop", "losses", "nn", "optim", "testing", "train"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"funcflow.{name}")
    raise AttributeError(f"module 'funcflow' has no attribute {name!r}")


# JAX has these two in `lax`; they are made of transforms, which are above our `lax`.
lax.custom_root = custom_root
lax.custom_linear_solve = custom_linear_solve

__version__ = "0.1.0"
