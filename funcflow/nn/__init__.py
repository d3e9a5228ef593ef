"""Neural networks: the functions of `jax.nn`, and layers and models as pytrees of parameters."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from funcflow.nn import initializers as initializers
from funcflow.nn.activations import celu as celu
from funcflow.nn.activations import elu as elu
from funcflow.nn.activations import gelu as gelu
from funcflow.nn.activations import glu as glu
from funcflow.nn.activations import hard_sigmoid as hard_sigmoid
from funcflow.nn.activations import hard_silu as hard_silu
from funcflow.nn.activations import hard_swish as hard_swish
from funcflow.nn.activations import hard_tanh as hard_tanh
from funcflow.nn.activations import identity as identity
from funcflow.nn.activations import leaky_relu as leaky_relu
from funcflow.nn.activations import log1mexp as log1mexp
from funcflow.nn.activations import log_sigmoid as log_sigmoid
from funcflow.nn.activations import mish as mish
from funcflow.nn.activations import relu as relu
from funcflow.nn.activations import relu6 as relu6
from funcflow.nn.activations import selu as selu
from funcflow.nn.activations import sigmoid as sigmoid
from funcflow.nn.activations import silu as silu
from funcflow.nn.activations import soft_sign as soft_sign
from funcflow.nn.activations import softplus as softplus
from funcflow.nn.activations import sparse_plus as sparse_plus
from funcflow.nn.activations import sparse_sigmoid as sparse_sigmoid
from funcflow.nn.activations import squareplus as squareplus
from funcflow.nn.activations import swish as swish
from funcflow.nn.activations import tanh as tanh
from funcflow.nn.arrays import is_array as is_array
from funcflow.nn.arrays import is_inexact_array as is_inexact_array
from funcflow.nn.attention import dot_product_attention as dot_product_attention
from funcflow.nn.calls import ModuleCall as ModuleCall
from funcflow.nn.calls import watch_calls as watch_calls
from funcflow.nn.encoding import one_hot as one_hot
from funcflow.nn.loss_scaling import DynamicLossScale as DynamicLossScale
from funcflow.nn.loss_scaling import StaticLossScale as StaticLossScale
from funcflow.nn.loss_scaling import all_finite as all_finite
from funcflow.nn.loss_scaling import select_tree as select_tree
from funcflow.nn.module import Module as Module
from funcflow.nn.module import buffer as buffer
from funcflow.nn.module import static as static
from funcflow.nn.normalization import log_softmax as log_softmax
from funcflow.nn.normalization import logmeanexp as logmeanexp
from funcflow.nn.normalization import logsumexp as logsumexp
from funcflow.nn.normalization import softmax as softmax
from funcflow.nn.normalization import standardize as standardize
from funcflow.nn.partition import combine as combine
from funcflow.nn.partition import filter as filter
from funcflow.nn.partition import partition as partition
from funcflow.nn.partition import trainable as trainable
from funcflow.nn.partition import tree_at as tree_at
from funcflow.nn.precision import Policy as Policy
from funcflow.nn.precision import get_policy as get_policy
from funcflow.nn.printing import parameter_count as parameter_count
from funcflow.nn.training import inference as inference
from funcflow.nn.training import is_training as is_training
from funcflow.nn.training import next_key as next_key
from funcflow.nn.training import training as training
from funcflow.nn.training import update_buffer as update_buffer

if TYPE_CHECKING:
    from funcflow.nn.layers import GRU as GRU
    from funcflow.nn.layers import LSTM as LSTM
    from funcflow.nn.layers import RNN as RNN
    from funcflow.nn.layers import Activation as Activation
    from funcflow.nn.layers import AdaptiveAvgPool1d as AdaptiveAvgPool1d
    from funcflow.nn.layers import AdaptiveAvgPool2d as AdaptiveAvgPool2d
    from funcflow.nn.layers import AdaptiveAvgPool3d as AdaptiveAvgPool3d
    from funcflow.nn.layers import AvgPool1d as AvgPool1d
    from funcflow.nn.layers import AvgPool2d as AvgPool2d
    from funcflow.nn.layers import AvgPool3d as AvgPool3d
    from funcflow.nn.layers import BatchNorm as BatchNorm
    from funcflow.nn.layers import Bidirectional as Bidirectional
    from funcflow.nn.layers import Conv as Conv
    from funcflow.nn.layers import Conv1d as Conv1d
    from funcflow.nn.layers import Conv2d as Conv2d
    from funcflow.nn.layers import Conv3d as Conv3d
    from funcflow.nn.layers import ConvTranspose as ConvTranspose
    from funcflow.nn.layers import ConvTranspose1d as ConvTranspose1d
    from funcflow.nn.layers import ConvTranspose2d as ConvTranspose2d
    from funcflow.nn.layers import ConvTranspose3d as ConvTranspose3d
    from funcflow.nn.layers import Crop1d as Crop1d
    from funcflow.nn.layers import Crop2d as Crop2d
    from funcflow.nn.layers import Crop3d as Crop3d
    from funcflow.nn.layers import DecoderCache as DecoderCache
    from funcflow.nn.layers import Dense as Dense
    from funcflow.nn.layers import DepthwiseConv2d as DepthwiseConv2d
    from funcflow.nn.layers import Dropout as Dropout
    from funcflow.nn.layers import Embedding as Embedding
    from funcflow.nn.layers import FeedForward as FeedForward
    from funcflow.nn.layers import Flatten as Flatten
    from funcflow.nn.layers import GlobalAvgPool1d as GlobalAvgPool1d
    from funcflow.nn.layers import GlobalAvgPool2d as GlobalAvgPool2d
    from funcflow.nn.layers import GlobalAvgPool3d as GlobalAvgPool3d
    from funcflow.nn.layers import GlobalMaxPool1d as GlobalMaxPool1d
    from funcflow.nn.layers import GlobalMaxPool2d as GlobalMaxPool2d
    from funcflow.nn.layers import GlobalMaxPool3d as GlobalMaxPool3d
    from funcflow.nn.layers import GroupNorm as GroupNorm
    from funcflow.nn.layers import GRUCell as GRUCell
    from funcflow.nn.layers import InstanceNorm as InstanceNorm
    from funcflow.nn.layers import KVCache as KVCache
    from funcflow.nn.layers import LayerNorm as LayerNorm
    from funcflow.nn.layers import LearnedPositions as LearnedPositions
    from funcflow.nn.layers import Linear as Linear
    from funcflow.nn.layers import LSTMCell as LSTMCell
    from funcflow.nn.layers import MaxPool1d as MaxPool1d
    from funcflow.nn.layers import MaxPool2d as MaxPool2d
    from funcflow.nn.layers import MaxPool3d as MaxPool3d
    from funcflow.nn.layers import MultiHeadAttention as MultiHeadAttention
    from funcflow.nn.layers import Residual as Residual
    from funcflow.nn.layers import RMSNorm as RMSNorm
    from funcflow.nn.layers import RNNCell as RNNCell
    from funcflow.nn.layers import RotaryEmbedding as RotaryEmbedding
    from funcflow.nn.layers import SeparableConv2d as SeparableConv2d
    from funcflow.nn.layers import Sequential as Sequential
    from funcflow.nn.layers import SimpleRNN as SimpleRNN
    from funcflow.nn.layers import SimpleRNNCell as SimpleRNNCell
    from funcflow.nn.layers import SinusoidalPositions as SinusoidalPositions
    from funcflow.nn.layers import TransformerDecoder as TransformerDecoder
    from funcflow.nn.layers import TransformerDecoderBlock as TransformerDecoderBlock
    from funcflow.nn.layers import TransformerEncoder as TransformerEncoder
    from funcflow.nn.layers import TransformerEncoderBlock as TransformerEncoderBlock
    from funcflow.nn.layers import UpSample1d as UpSample1d
    from funcflow.nn.layers import UpSample2d as UpSample2d
    from funcflow.nn.layers import UpSample3d as UpSample3d
    from funcflow.nn.layers import ZeroPad1d as ZeroPad1d
    from funcflow.nn.layers import ZeroPad2d as ZeroPad2d
    from funcflow.nn.layers import ZeroPad3d as ZeroPad3d
    from funcflow.nn.layers import apply_rotary as apply_rotary


def __getattr__(name: str) -> Any:
    """A layer. All load at the first use of one: who writes functions of parameters needs none."""
    if not name.startswith("__"):
        _load_layers()
        if name in globals():
            return globals()[name]
    raise AttributeError(f"module 'funcflow.nn' has no attribute {name!r}")


def __dir__() -> list[str]:
    _load_layers()
    return sorted(globals())


def _load_layers() -> None:
    layers = vars(import_module("funcflow.nn.layers"))
    public = {k: v for k, v in layers.items() if k[0] != "_" and not isinstance(v, ModuleType)}
    globals().update(public)
