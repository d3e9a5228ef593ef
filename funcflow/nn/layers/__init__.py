"""Layers: modules whose parameters are arrays."""

from funcflow.nn.layers.containers import Activation as Activation
from funcflow.nn.layers.containers import Flatten as Flatten
from funcflow.nn.layers.containers import Residual as Residual
from funcflow.nn.layers.containers import Sequential as Sequential
from funcflow.nn.layers.dropout import Dropout as Dropout
from funcflow.nn.layers.linear import Dense as Dense
from funcflow.nn.layers.linear import Embedding as Embedding
from funcflow.nn.layers.linear import Linear as Linear
from funcflow.nn.layers.normalization import BatchNorm as BatchNorm
from funcflow.nn.layers.normalization import GroupNorm as GroupNorm
from funcflow.nn.layers.normalization import InstanceNorm as InstanceNorm
from funcflow.nn.layers.normalization import LayerNorm as LayerNorm
from funcflow.nn.layers.normalization import RMSNorm as RMSNorm
