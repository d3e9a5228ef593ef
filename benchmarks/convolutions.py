"""Two-dimensional convolutions, forward and backward, in both layouts of images."""

import comparison  # first: it cleans the environment

# isort: split
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from comparison import Row, Table, Work

TARGET = 1.05


class Case(NamedTuple):
    """Images of side `side`; kernels of side `kernel`, padded to keep the images' size."""

    layout: str  # of the images: NHWC or NCHW
    kernel: int
    batch: int
    side: int
    channels: int

    def inputs(self) -> tuple[np.ndarray, ...]:
        """Images, kernels (HWIO or OIHW), and the cotangent of the output."""
        rng = np.random.default_rng(0)
        images = (self.batch, self.side, self.side, self.channels)
        kernels = (self.kernel, self.kernel, self.channels, self.channels)
        if self.layout == "NCHW":
            images = (self.batch, self.channels, self.side, self.side)
            kernels = kernels[2:] + kernels[:2]
        return tuple(rng.standard_normal(shape, np.float32) for shape in (images, kernels, images))

    def convolve(self, api: ModuleType) -> Callable[..., Any]:
        dimensions = (self.layout, "HWIO" if self.layout == "NHWC" else "OIHW", self.layout)
        return lambda x, w: api.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=dimensions
        )


def forward(case: Case) -> Work:
    def in_torch(torch: ModuleType) -> Callable[..., Any]:
        def convolve(x: Any, w: Any, _: Any) -> Any:
            x, w = as_torch(case, x), kernel_as_torch(case, w)
            return from_torch(case, torch.conv2d(x, w, padding=case.kernel // 2))

        return convolve

    return Work(lambda api: lambda x, w, _: case.convolve(api)(x, w), in_torch, case.inputs)


def backward(case: Case) -> Work:
    """Both gradients, those of the images and of the kernels."""

    def function(api: ModuleType) -> Callable[..., Any]:
        return lambda x, w, cotangent: api.vjp(case.convolve(api), x, w)[1](cotangent)

    def in_torch(torch: ModuleType) -> Callable[..., Any]:
        differentiate = torch.ops.aten.convolution_backward
        padding = [case.kernel // 2] * 2

        def gradients(x: Any, w: Any, cotangent: Any) -> Any:
            x, w, cotangent = as_torch(case, x), kernel_as_torch(case, w), as_torch(case, cotangent)
            dx, dw, _ = differentiate(
                cotangent,
                x,
                w,
                None,
                [1, 1],
                padding,
                [1, 1],
                False,
                [0, 0],
                1,
                [True, True, False],
            )
            return from_torch(case, dx), kernel_from_torch(case, dw)

        return gradients

    return Work(function, in_torch, case.inputs, tolerance=1e-3)


# torch's axes are always NCHW and OIHW; NHWC is another order of strides, so these are views.


def as_torch(case: Case, images: Any) -> Any:
    return images.permute(0, 3, 1, 2) if case.layout == "NHWC" else images


def from_torch(case: Case, images: Any) -> Any:
    return images.permute(0, 2, 3, 1) if case.layout == "NHWC" else images


def kernel_as_torch(case: Case, kernels: Any) -> Any:
    return kernels.permute(3, 2, 0, 1) if case.layout == "NHWC" else kernels


def kernel_from_torch(case: Case, kernels: Any) -> Any:
    return kernels.permute(2, 3, 1, 0) if case.layout == "NHWC" else kernels


def tables(quick: bool) -> list[Table]:
    batch, side, channels = (2, 14, 16) if quick else (32, 56, 64)
    rows = []
    for layout in ("NHWC", "NCHW"):
        for kernel in (3, 1):
            case = Case(layout, kernel, batch, side, channels)
            size = f"{batch} of {side}x{side}, {channels} to {channels}"
            for work in (forward, backward):
                label = f"{kernel}x{kernel} {layout}, {work.__name__}"
                rows.append(Row(label, size, TARGET, comparison.timed(work(case))))
    return [Table("convolutions", rows)]


if __name__ == "__main__":
    comparison.main("Convolutions", tables, rounds=9)
