"""Random dimension numbers: what gathers read is what scatters write."""

import random
from typing import Any, NamedTuple

import pytest

from funcflow import lax


class Windows(NamedTuple):
    """Shapes of an operand, of indices, and of what is gathered, and what belongs to them."""

    operand: tuple[int, ...]
    indices: tuple[int, ...]
    numbers: lax.GatherDimensionNumbers
    sizes: tuple[int, ...]
    result: tuple[int, ...]


def random_windows(seed: int) -> Windows:
    choose = random.Random(seed)
    ndim = choose.randint(1, 4)
    operand = tuple(choose.choice([1, 2, 3, 7]) for _ in range(ndim))
    batch = tuple(choose.choice([1, 2, 5]) for _ in range(choose.randint(0, 3)))
    axes = choose.sample(range(ndim), ndim)
    pairs = []  # of batching axes: of the operand, and of the indices
    free = list(range(len(batch)))
    while axes and free and choose.random() < 0.3:
        pairs.append((axes.pop(), free.pop(choose.randrange(len(free)))))
    pairs.sort()
    batch = tuple(next((operand[a] for a, b in pairs if b == i), n) for i, n in enumerate(batch))
    collapsed = tuple(sorted(axes[: choose.randint(0, len(axes))]))
    moving = tuple(choose.sample(axes, choose.randint(0, len(axes))))
    hidden = {*collapsed, *(a for a, _ in pairs)}
    sizes = tuple(1 if i in hidden else choose.randint(1, n) for i, n in enumerate(operand))
    window = [n for i, n in enumerate(sizes) if i not in hidden]
    rank = len(batch) + len(window)
    offsets = tuple(sorted(choose.sample(range(rank), len(window))))
    shown, lanes = iter(window), iter(batch)
    numbers = lax.GatherDimensionNumbers(
        offsets, collapsed, moving, tuple(a for a, _ in pairs), tuple(b for _, b in pairs)
    )
    result = tuple(next(shown) if i in offsets else next(lanes) for i in range(rank))
    return Windows(operand, (*batch, len(moving)), numbers, sizes, result)


@pytest.mark.parametrize("block", range(4))
def test_gathers(check: Any, numbers: Any, block: int) -> None:
    for seed in range(15 * block, 15 * block + 15):
        w = random_windows(seed)
        x, i = numbers.array(*w.operand), numbers.indices(-1, 4, *w.indices)
        mode = ("clip", "fill")[seed % 2]
        check(lambda x, i, w=w, m=mode: lax.gather(x, i, w.numbers, w.sizes, mode=m), x, i)


@pytest.mark.parametrize("block", range(4))
def test_scatters(check: Any, numbers: Any, block: int) -> None:
    for seed in range(15 * block, 15 * block + 15):
        w = random_windows(seed)
        dims = lax.ScatterDimensionNumbers(*w.numbers)
        x, u = numbers.array(*w.operand), numbers.array(*w.result)
        i = numbers.indices(-1, 4, *w.indices)
        scatter = (lax.scatter, lax.scatter_add)[seed // 2 % 2]
        mode = ("clip", "drop")[seed % 2]
        check(lambda x, i, u, f=scatter, d=dims, m=mode: f(x, i, u, d, mode=m), x, i, u)
