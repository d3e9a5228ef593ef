"""Reductions, scans and index arg-maxima over each axis; transposes, gathers, sorts, FFTs."""

import comparison  # first: it cleans the environment

# isort: split
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from comparison import Row, Table, Work

TARGET = 1.0


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def by_shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def along(name: str, axis: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`sum`, `argmax` or `cumsum` over an axis, in a library of arrays and in torch."""

    def function(api: ModuleType) -> Callable[..., Any]:
        return lambda x: getattr(api.numpy, name)(x, axis=axis)

    def in_torch(torch: ModuleType) -> Callable[..., Any]:
        return lambda x: getattr(torch, name)(x, dim=axis)

    return function, in_torch


def axis_rows(shapes: list[tuple[int, ...]]) -> list[Row]:
    return [
        Row(
            f"{name}, axis {axis}",
            by_shape(shape),
            TARGET,
            comparison.timed(Work(*along(name, axis), lambda shape=shape: (normal(*shape),))),
        )
        for name in ("sum", "argmax", "cumsum")
        for shape in shapes
        for axis in range(len(shape))
    ]


def transpose(axes: tuple[int, ...], shape: tuple[int, ...]) -> Work:
    """A transposed array in memory: raveled, since a transpose alone may be a view."""
    return Work(
        function=lambda api: lambda x: api.numpy.transpose(x, axes).ravel(),
        torch=lambda torch: lambda x: x.permute(axes).reshape(-1),
        inputs=lambda: (normal(*shape),),
        moved=8 * int(np.prod(shape)),
    )


def take_rows(rows: int, columns: int) -> Work:
    return Work(
        function=lambda api: lambda x, i: api.numpy.take(x, i, axis=0, mode="clip"),
        torch=lambda torch: lambda x, i: torch.index_select(x, 0, i),
        inputs=lambda: (normal(rows, columns), indices(rows, rows)),
    )


def take_along(rows: int, columns: int) -> Work:
    return Work(
        function=lambda api: lambda x, i: api.numpy.take_along_axis(x, i, axis=-1, mode="clip"),
        torch=lambda torch: lambda x, i: torch.gather(x, -1, i),
        inputs=lambda: (normal(rows, columns), indices(columns, rows, columns)),
    )


def indices(size: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, size, shape, dtype=np.int32)


def sort(*shape: int) -> Work:
    return Work(
        function=lambda api: lambda x: api.numpy.sort(x, axis=-1),
        torch=lambda torch: lambda x: torch.sort(x, dim=-1).values,
        inputs=lambda: (normal(*shape),),
    )


def rfft(size: int) -> Work:
    return Work(
        function=lambda api: lambda x: api.numpy.fft.rfft(x),
        torch=lambda torch: lambda x: torch.fft.rfft(x),
        inputs=lambda: (normal(size),),
    )


def fft2(*shape: int) -> Work:
    return Work(
        function=lambda api: lambda x: api.numpy.fft.fft2(x),
        torch=lambda torch: lambda x: torch.fft.fft2(x),
        inputs=lambda: (normal(*shape, 2).view(np.complex64)[..., 0],),
    )


def tables(quick: bool) -> list[Table]:
    if quick:
        matrix, block, images, rows = (256, 128), (16, 32, 64), (4, 16, 16, 8), 1000
    else:
        matrix, block, images, rows = (4096, 1024), (128, 128, 256), (32, 64, 64, 32), 100_000
    works = [
        ("transpose (1, 0)", by_shape(matrix), transpose((1, 0), matrix)),
        ("transpose (0, 3, 1, 2)", by_shape(images), transpose((0, 3, 1, 2), images)),
        ("transpose (0, 2, 1, 3)", by_shape(images), transpose((0, 2, 1, 3), images)),
        ("transpose (3, 2, 1, 0)", by_shape(images), transpose((3, 2, 1, 0), images)),
        ("take rows", by_shape((rows, 64)), take_rows(rows, 64)),
        ("take along axis", by_shape((rows, 64)), take_along(rows, 64)),
        ("sort", f"{10 * rows}", sort(10 * rows)),
        ("sort rows", by_shape((rows // 100, 1000)), sort(rows // 100, 1000)),
        ("rfft", f"{10 * rows}", rfft(10 * rows)),
        ("fft2", by_shape((rows // 100, 1000)), fft2(rows // 100, 1000)),
    ]
    others = [Row(name, size, TARGET, comparison.timed(work)) for name, size, work in works]
    return [Table("reductions", axis_rows([matrix, block]) + others)]


if __name__ == "__main__":
    comparison.main("Reductions, scans, transposes, gathers, sorts and FFTs", tables, rounds=15)
