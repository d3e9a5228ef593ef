"""Window functions, by which signals are faded in and out.

See F. J. Harris, On the use of windows for harmonic analysis with the discrete Fourier transform,
Proceedings of the IEEE 66 (1978).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import Array, wrap
from funcflow.numpy.arguments import static, static_int


def _window(name: str, window: Callable[..., Any], M: Any, *parameters: Any) -> Array:
    count = static_int(name, "M", M)
    return wrap(np.asarray(window(count, *parameters), dtypes.default_float()))


def bartlett(M: int) -> Array:
    """The triangular window of `M` points that ends in zeros."""
    return _window("bartlett", np.bartlett, M)


def blackman(M: int) -> Array:
    """The Blackman window of `M` points, the first three terms of a sum of cosines."""
    return _window("blackman", np.blackman, M)


def hamming(M: int) -> Array:
    """The Hamming window of `M` points, a raised cosine that ends in 0.08."""
    return _window("hamming", np.hamming, M)


def hanning(M: int) -> Array:
    """The Hann window of `M` points, a raised cosine that ends in zeros."""
    return _window("hanning", np.hanning, M)


def kaiser(M: int, beta: Any) -> Array:
    """The Kaiser window of `M` points; its shape `beta` must be known while tracing."""
    return _window("kaiser", np.kaiser, M, static("kaiser", "beta", beta).item())
