"""Layers of sequences: rows as in `cases.py`."""

from typing import Any

from funcflow import nn

CASES: dict[str, dict[str, Any]] = {
    # --- recurrent ---
    "SimpleRNNCell": dict(
        make=lambda key, dtype: nn.SimpleRNNCell(3, 4, dtype=dtype, key=key),
        inputs=[(2, 4), (2, 3)],
        output=((2, 4), (2, 4)),
        wrong=[[(2, 4), (2, 2)]],
    ),
    "LSTMCell": dict(
        make=lambda key, dtype: nn.LSTMCell(3, 4, dtype=dtype, key=key),
        inputs=[[(2, 4), (2, 4)], (2, 3)],
        output=(((2, 4), (2, 4)), (2, 4)),
        wrong=[[[(2, 4), (2, 4)], (2, 2)]],
    ),
    "GRUCell": dict(
        make=lambda key, dtype: nn.GRUCell(3, 4, dtype=dtype, key=key),
        inputs=[(2, 4), (2, 3)],
        output=((2, 4), (2, 4)),
        wrong=[[(2, 4), (2, 2)]],
    ),
    "GRUCell, reset before": dict(
        make=lambda key, dtype: nn.GRUCell(3, 4, reset_after=False, dtype=dtype, key=key),
        inputs=[(2, 4), (2, 3)],
        output=((2, 4), (2, 4)),
    ),
    "RNN": dict(
        make=lambda key, dtype: nn.RNN(nn.GRUCell(3, 4, dtype=dtype, key=key), reverse=True),
        inputs=[(2, 5, 3)],
        output=(2, 5, 4),
        wrong=[[(2, 5, 2)], [(2, 3)]],
    ),
    "RNN with a carry": dict(
        make=lambda key, dtype: nn.RNN(nn.GRUCell(3, 4, dtype=dtype, key=key)),
        inputs=[(2, 5, 3), (2, 4)],
        output=((2, 5, 4), (2, 4)),
    ),
    "SimpleRNN": dict(
        make=lambda key, dtype: nn.SimpleRNN(3, 4, dtype=dtype, key=key),
        inputs=[(2, 5, 3)],
        output=(2, 5, 4),
        wrong=[[(2, 5, 2)], [(2, 3)]],
    ),
    "LSTM": dict(
        make=lambda key, dtype: nn.LSTM(3, 4, dtype=dtype, key=key),
        inputs=[(2, 5, 3)],
        output=(2, 5, 4),
        wrong=[[(2, 5, 2)], [(2, 3)]],
    ),
    "LSTM, the last step": dict(
        make=lambda key, dtype: nn.LSTM(3, 4, return_sequences=False, dtype=dtype, key=key),
        inputs=[(2, 5, 3)],
        output=(2, 4),
    ),
    "GRU, stacked in both directions": dict(
        make=lambda key, dtype: nn.GRU(
            3, 4, num_layers=2, bidirectional=True, dropout=0.5, dtype=dtype, key=key
        ),
        inputs=[(2, 5, 3)],
        output=(2, 5, 8),
        wrong=[[(2, 5, 2)]],
    ),
    "Bidirectional": dict(
        make=lambda key, dtype: nn.Bidirectional(
            nn.LSTM(3, 4, dtype=dtype, key=key),
            nn.GRU(3, 4, dtype=dtype, key=key),
            merge_mode="mul",
        ),
        inputs=[(2, 5, 3)],
        output=(2, 5, 4),
        wrong=[[(2, 5, 2)]],
    ),
    # --- positions ---
    "RotaryEmbedding": dict(
        make=lambda key, dtype: nn.RotaryEmbedding(base=100.0),
        inputs=[(2, 5, 3, 4)],
        output=(2, 5, 3, 4),
        wrong=[[(2, 5, 3, 3)]],
    ),
    "SinusoidalPositions": dict(
        make=lambda key, dtype: nn.SinusoidalPositions(4),
        inputs=[(2, 5, 4)],
        output=(2, 5, 4),
        wrong=[[(2, 5, 3)]],
    ),
    "LearnedPositions": dict(
        make=lambda key, dtype: nn.LearnedPositions(7, 4, dtype=dtype, key=key),
        inputs=[(2, 5, 4)],
        output=(2, 5, 4),
        wrong=[[(2, 5, 3)], [(2, 8, 4)]],
    ),
    # --- attention ---
    "MultiHeadAttention": dict(
        make=lambda key, dtype: nn.MultiHeadAttention(
            4, 8, num_kv_heads=2, dropout=0.5, rotary=nn.RotaryEmbedding(), dtype=dtype, key=key
        ),
        inputs=[(2, 5, 8)],
        output=(2, 5, 8),
        wrong=[[(2, 5, 7)], [(2, 8)]],
    ),
    "MultiHeadAttention to a context": dict(
        make=lambda key, dtype: nn.MultiHeadAttention(
            2, 8, in_kv_features=3, out_features=6, dtype=dtype, key=key
        ),
        inputs=[(2, 5, 8), (2, 7, 3)],
        output=(2, 5, 6),
        wrong=[[(2, 5, 8), (2, 7, 2)]],
    ),
    # --- transformers ---
    "FeedForward": dict(
        make=lambda key, dtype: nn.FeedForward(4, 6, dropout=0.5, dtype=dtype, key=key),
        inputs=[(2, 5, 4)],
        output=(2, 5, 4),
        wrong=[[(2, 5, 3)]],
    ),
    "FeedForward, SwiGLU": dict(
        make=lambda key, dtype: nn.FeedForward(
            4, 6, activation=nn.silu, gated=True, use_bias=False, dtype=dtype, key=key
        ),
        inputs=[(2, 4)],
        output=(2, 4),
    ),
    "TransformerEncoderBlock": dict(
        make=lambda key, dtype: nn.TransformerEncoderBlock(8, 2, dtype=dtype, key=key),
        inputs=[(2, 5, 8)],
        output=(2, 5, 8),
        wrong=[[(2, 5, 7)], [(2, 8)]],
    ),
    "TransformerDecoderBlock": dict(
        make=lambda key, dtype: nn.TransformerDecoderBlock(
            8, 2, context_features=3, norm_first=False, dtype=dtype, key=key
        ),
        inputs=[(2, 5, 8), (2, 4, 3)],
        output=(2, 5, 8),
        wrong=[[(2, 5, 7), (2, 4, 3)], [(2, 5, 8), (2, 4, 2)]],
    ),
    "TransformerEncoder": dict(
        make=lambda key, dtype: nn.TransformerEncoder(2, 8, 2, 12, dtype=dtype, key=key),
        inputs=[(2, 5, 8)],
        output=(2, 5, 8),
        wrong=[[(2, 5, 7)], [(2, 8)]],
    ),
    "TransformerDecoder": dict(
        make=lambda key, dtype: nn.TransformerDecoder(
            2, 8, 2, 12, norm=nn.RMSNorm, dropout=0.5, dtype=dtype, key=key
        ),
        inputs=[(2, 5, 8)],
        output=(2, 5, 8),
        wrong=[[(2, 5, 7)], [(2, 8)]],
    ),
}
