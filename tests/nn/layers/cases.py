"""A table of layers, over which the laws of `test_laws.py` run; its `Case` says what a row holds."""

from typing import Any

import numpy as np

from funcflow import nn

CASES: dict[str, dict[str, Any]] = {
    # --- affine maps ---
    "Linear": dict(
        make=lambda key, dtype: nn.Linear(3, 2, dtype=dtype, key=key),
        inputs=[(4, 3)],
        output=(4, 2),
        wrong=[[(4, 2)], [()]],
    ),
    "Linear without bias": dict(
        make=lambda key, dtype: nn.Linear(3, 2, use_bias=False, dtype=dtype, key=key),
        inputs=[(4, 5, 3)],
        output=(4, 5, 2),
        wrong=[[(4, 5, 4)]],
    ),
    "Embedding": dict(
        make=lambda key, dtype: nn.Embedding(7, 3, dtype=dtype, key=key),
        inputs=[np.array([[0, 6, 2], [2, 2, 1]])],
        output=(2, 3, 3),
    ),
    # --- noise ---
    "Dropout": dict(
        make=lambda key, dtype: nn.Dropout(0.5),
        inputs=[(4, 6)],
        output=(4, 6),
    ),
    "Dropout of channels": dict(
        make=lambda key, dtype: nn.Dropout(0.5, broadcast_axes=(1,)),
        inputs=[(4, 6, 3)],
        output=(4, 6, 3),
    ),
    # --- normalization ---
    "BatchNorm": dict(
        make=lambda key, dtype: nn.BatchNorm(3, dtype=dtype),
        inputs=[(4, 5, 3)],
        output=(4, 5, 3),
        wrong=[[(4, 5, 4)]],
    ),
    "LayerNorm": dict(
        make=lambda key, dtype: nn.LayerNorm((5, 3), dtype=dtype),
        inputs=[(2, 5, 3)],
        output=(2, 5, 3),
        wrong=[[(2, 5, 4)]],
    ),
    "RMSNorm": dict(
        make=lambda key, dtype: nn.RMSNorm(5, dtype=dtype),
        inputs=[(3, 5)],
        output=(3, 5),
        wrong=[[(3, 4)]],
    ),
    "GroupNorm": dict(
        make=lambda key, dtype: nn.GroupNorm(6, 2, dtype=dtype),
        inputs=[(2, 4, 6)],
        output=(2, 4, 6),
        wrong=[[(2, 4, 3)]],
    ),
    "InstanceNorm": dict(
        make=lambda key, dtype: nn.InstanceNorm(2, dtype=dtype),
        inputs=[(2, 4, 3, 2)],
        output=(2, 4, 3, 2),
        wrong=[[(2, 4, 3, 3)]],
    ),
    # --- containers ---
    "Sequential": dict(
        make=lambda key, dtype: nn.Sequential(
            [nn.Linear(3, 4, dtype=dtype, key=key), nn.tanh, nn.Dropout(0.5)]
        ),
        inputs=[(5, 3)],
        output=(5, 4),
        wrong=[[(5, 4)]],
    ),
    "Residual": dict(
        make=lambda key, dtype: nn.Residual(nn.Linear(3, 3, dtype=dtype, key=key)),
        inputs=[(5, 3)],
        output=(5, 3),
        wrong=[[(5, 4)]],
    ),
    "Activation": dict(
        make=lambda key, dtype: nn.Activation(nn.gelu),
        inputs=[(5, 3)],
        output=(5, 3),
    ),
    "Flatten": dict(
        make=lambda key, dtype: nn.Flatten(),
        inputs=[(5, 3, 2)],
        output=(5, 6),
    ),
}
