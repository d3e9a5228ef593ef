"""A table of layers, over which the laws of `test_laws.py` run; `Case` says what a row holds."""

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
        wrong=[[()]],
    ),
    # --- convolutions ---
    "Conv": dict(
        make=lambda key, dtype: nn.Conv(2, 3, (2, 3), strides=(1, 2), dtype=dtype, key=key),
        inputs=[(2, 4, 5, 2)],
        output=(2, 4, 3, 3),
        wrong=[[(2, 4, 5, 3)], [(2, 4, 5, 4, 2)]],
    ),
    "Conv1d": dict(
        make=lambda key, dtype: nn.Conv1d(
            2, 3, 3, dilation=2, padding=[(2, 1)], dtype=dtype, key=key
        ),
        inputs=[(2, 5, 2)],
        output=(2, 4, 3),
        wrong=[[(2, 5, 3)], [(5, 2)]],
    ),
    "Conv2d": dict(
        make=lambda key, dtype: nn.Conv2d(2, 3, 3, padding="VALID", dtype=dtype, key=key),
        inputs=[(2, 4, 5, 2)],
        output=(2, 2, 3, 3),
        wrong=[[(2, 4, 5, 3)], [(4, 5, 2)]],
    ),
    "Conv2d in groups": dict(
        make=lambda key, dtype: nn.Conv2d(
            4, 6, 2, groups=2, strides=2, padding=1, use_bias=False, dtype=dtype, key=key
        ),
        inputs=[(2, 3, 4, 4)],
        output=(2, 2, 3, 6),
        wrong=[[(2, 3, 4, 2)]],
    ),
    "Conv3d": dict(
        make=lambda key, dtype: nn.Conv3d(2, 3, (1, 2, 3), dtype=dtype, key=key),
        inputs=[(2, 2, 3, 3, 2)],
        output=(2, 2, 3, 3, 3),
        wrong=[[(2, 2, 3, 3, 3)], [(2, 3, 3, 2)]],
    ),
    "DepthwiseConv2d": dict(
        make=lambda key, dtype: nn.DepthwiseConv2d(3, 2, multiplier=2, dtype=dtype, key=key),
        inputs=[(2, 3, 4, 3)],
        output=(2, 3, 4, 6),
        wrong=[[(2, 3, 4, 6)]],
    ),
    "SeparableConv2d": dict(
        make=lambda key, dtype: nn.SeparableConv2d(3, 4, 3, strides=2, dtype=dtype, key=key),
        inputs=[(2, 4, 4, 3)],
        output=(2, 2, 2, 4),
        wrong=[[(2, 4, 4, 4)]],
    ),
    "ConvTranspose": dict(
        make=lambda key, dtype: nn.ConvTranspose(2, 3, (2, 3), strides=2, dtype=dtype, key=key),
        inputs=[(2, 3, 2, 2)],
        output=(2, 6, 4, 3),
        wrong=[[(2, 3, 2, 3)]],
    ),
    "ConvTranspose1d": dict(
        make=lambda key, dtype: nn.ConvTranspose1d(
            2, 3, 2, dilation=2, strides=3, padding=[(1, 0)], dtype=dtype, key=key
        ),
        inputs=[(2, 3, 2)],
        output=(2, 8, 3),
        wrong=[[(2, 3, 3)]],
    ),
    "ConvTranspose2d": dict(
        make=lambda key, dtype: nn.ConvTranspose2d(
            2, 3, 3, strides=2, padding="VALID", dtype=dtype, key=key
        ),
        inputs=[(2, 3, 2, 2)],
        output=(2, 7, 5, 3),
        wrong=[[(3, 2, 2)]],
    ),
    "ConvTranspose2d in groups": dict(
        make=lambda key, dtype: nn.ConvTranspose2d(
            4, 6, 3, strides=2, groups=2, padding=1, dtype=dtype, key=key
        ),
        inputs=[(2, 3, 2, 4)],
        output=(2, 5, 3, 6),
        wrong=[[(2, 3, 2, 2)]],
    ),
    "ConvTranspose3d": dict(
        make=lambda key, dtype: nn.ConvTranspose3d(
            2, 1, 2, strides=(1, 1, 2), use_bias=False, dtype=dtype, key=key
        ),
        inputs=[(1, 2, 2, 2, 2)],
        output=(1, 2, 2, 4, 1),
        wrong=[[(1, 2, 2, 2, 1)]],
    ),
    # --- pooling ---
    "MaxPool1d": dict(
        make=lambda key, dtype: nn.MaxPool1d(2),
        inputs=[(2, 5, 3)],
        output=(2, 2, 3),
        wrong=[[(5, 3)]],
    ),
    "MaxPool2d": dict(
        make=lambda key, dtype: nn.MaxPool2d(3, strides=(2, 1), padding="SAME"),
        inputs=[(2, 5, 3, 2)],
        output=(2, 3, 3, 2),
        wrong=[[(5, 3, 2)]],
    ),
    "MaxPool3d": dict(
        make=lambda key, dtype: nn.MaxPool3d(2, padding=(1, 0, (0, 1))),
        inputs=[(2, 2, 4, 3, 2)],
        output=(2, 2, 2, 2, 2),
        wrong=[[(2, 4, 3, 2)]],
    ),
    "AvgPool1d": dict(
        make=lambda key, dtype: nn.AvgPool1d(3, strides=1, padding=2, count_include_pad=False),
        inputs=[(2, 5, 3)],
        output=(2, 7, 3),
        wrong=[[(5, 3)]],
    ),
    "AvgPool2d": dict(
        make=lambda key, dtype: nn.AvgPool2d(2, padding="SAME"),
        inputs=[(2, 5, 4, 3)],
        output=(2, 3, 2, 3),
        wrong=[[(5, 4, 3)]],
    ),
    "AvgPool3d": dict(
        make=lambda key, dtype: nn.AvgPool3d((1, 2, 2)),
        inputs=[(2, 2, 4, 4, 1)],
        output=(2, 2, 2, 2, 1),
        wrong=[[(2, 4, 4, 1)]],
    ),
    **{
        f"{name}{rank}d": dict(
            make=lambda key, dtype, name=name, rank=rank: getattr(nn, f"{name}{rank}d")(),
            inputs=[(2, *range(3, 3 + rank), 2)],
            output=(2, 2),
            wrong=[[(2,) * (rank + 1)], [(2,) * (rank + 3)]],
        )
        for name in ("GlobalMaxPool", "GlobalAvgPool")
        for rank in (1, 2, 3)
    },
    "GlobalMaxPool2d, keepdims": dict(
        make=lambda key, dtype: nn.GlobalMaxPool2d(keepdims=True),
        inputs=[(2, 3, 4, 2)],
        output=(2, 1, 1, 2),
    ),
    "AdaptiveAvgPool1d": dict(
        make=lambda key, dtype: nn.AdaptiveAvgPool1d(2),
        inputs=[(2, 5, 3)],
        output=(2, 2, 3),
        wrong=[[(5, 3)]],
    ),
    "AdaptiveAvgPool2d": dict(
        make=lambda key, dtype: nn.AdaptiveAvgPool2d((2, 3)),
        inputs=[(2, 4, 5, 2)],
        output=(2, 2, 3, 2),
        wrong=[[(4, 5, 2)]],
    ),
    "AdaptiveAvgPool3d": dict(
        make=lambda key, dtype: nn.AdaptiveAvgPool3d((1, 3, 2)),
        inputs=[(1, 2, 2, 4, 2)],
        output=(1, 1, 3, 2, 2),
        wrong=[[(2, 2, 4, 2)]],
    ),
    # --- resizing ---
    "ZeroPad1d": dict(
        make=lambda key, dtype: nn.ZeroPad1d([(1, 2)]),
        inputs=[(2, 3, 2)],
        output=(2, 6, 2),
        wrong=[[(3, 2)]],
    ),
    "ZeroPad2d": dict(
        make=lambda key, dtype: nn.ZeroPad2d((1, (0, 2))),
        inputs=[(2, 3, 2, 2)],
        output=(2, 5, 4, 2),
        wrong=[[(2, 3, 2)]],
    ),
    "ZeroPad3d": dict(
        make=lambda key, dtype: nn.ZeroPad3d(1),
        inputs=[(2, 1, 2, 2, 1)],
        output=(2, 3, 4, 4, 1),
        wrong=[[(2, 3, 2, 2)]],
    ),
    "Crop1d": dict(
        make=lambda key, dtype: nn.Crop1d([(1, 2)]),
        inputs=[(2, 5, 2)],
        output=(2, 2, 2),
        wrong=[[(2, 2, 2)], [(5, 2)]],
    ),
    "Crop2d": dict(
        make=lambda key, dtype: nn.Crop2d((1, (0, 2))),
        inputs=[(2, 3, 4, 2)],
        output=(2, 1, 2, 2),
        wrong=[[(2, 1, 4, 2)], [(3, 4, 2)]],
    ),
    "Crop3d": dict(
        make=lambda key, dtype: nn.Crop3d(1),
        inputs=[(2, 3, 4, 3, 1)],
        output=(2, 1, 2, 1, 1),
        wrong=[[(2, 1, 4, 3, 1)], [(3, 4, 3, 1)]],
    ),
    **{
        f"UpSample{rank}d, {method}": dict(
            make=lambda key, dtype, rank=rank, method=method: getattr(nn, f"UpSample{rank}d")(
                tuple(range(2, 2 + rank)), method=method
            ),
            inputs=[(2, *[3] * rank, 2)],
            output=(2, *[3 * factor for factor in range(2, 2 + rank)], 2),
            wrong=[[(3,) * (rank + 1)]],
        )
        for rank in (1, 2, 3)
        for method in ("nearest", "linear")
    },
}
