"""The devices that programs run on, and moving data to and from them."""

import os
from typing import Any

import numpy as np

from funcflow.core.array import Array, as_array
from funcflow.core.config import config
from funcflow.core.pytree import tree_leaves, tree_map


class Device:
    """A device that programs run on; on the CPU a logical one."""

    def __init__(self, id: int, platform: str = "cpu") -> None:
        self.id = id
        self.platform = platform
        self.device_kind = platform
        self.process_index = 0

    def __repr__(self) -> str:
        return f"{self.platform.capitalize()}Device(id={self.id})"


def devices(backend: str | None = None) -> list[Device]:
    """The devices: as many logical CPU devices as the setting `num_cpu_devices` says, or cores."""
    count = config.num_cpu_devices or os.cpu_count() or 1
    return [Device(i) for i in range(count)]


def device_count(backend: str | None = None) -> int:
    """The number of devices."""
    return len(devices(backend))


def local_devices(process_index: int | None = None, backend: str | None = None) -> list[Device]:
    """The devices of this process: all that there are."""
    return devices(backend)


def local_device_count(backend: str | None = None) -> int:
    """The number of this process' devices."""
    return device_count(backend)


def default_backend() -> str:
    """The platform of the devices: "cpu"."""
    return devices()[0].platform


def process_index(backend: str | None = None) -> int:
    """Which of the cooperating processes this is."""
    return devices()[0].process_index


def process_count(backend: str | None = None) -> int:
    """The number of cooperating processes."""
    return len({device.process_index for device in devices()})


def device_put(x: Any, device: Any = None) -> Any:
    """A pytree's numbers and NumPy arrays as arrays; the CPU's devices share one memory.

    Example:
        >>> ff.device_put({"a": np.ones(2)})
        {'a': Array([1., 1.], dtype=float64)}
    """
    return tree_map(as_array, x)


def device_get(x: Any) -> Any:
    """A pytree's arrays as NumPy arrays; other leaves stay as they are.

    Example:
        >>> ff.device_get({"a": fnp.ones(2), "b": 3})
        {'a': array([1., 1.], dtype=float32), 'b': 3}
    """
    return tree_map(lambda leaf: np.asarray(leaf) if isinstance(leaf, Array) else leaf, x)


def block_until_ready(x: Any) -> Any:
    """`x`, once all arrays in it are computed; on the CPU they are when the call returns."""
    for leaf in tree_leaves(x):
        if isinstance(leaf, Array):
            leaf.block_until_ready()
    return x
