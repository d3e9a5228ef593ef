"""Memory for results and arenas, used again and again.

Memory that is fresh from the system is mapped page by page as it is first touched, which takes
longer than the arithmetic of most kernels. So blocks are kept. What is handed out is a view of a
block, and a block is free once nothing but the pool refers to it: its reference count says so,
whoever holds the view, through further views, memoryviews or DLPack. Nothing is given back.

There is no lock. A thread takes a block off its shelf before it looks at it, so no other thread can
hand out the same one, and a forked child finds no lock that a vanished thread holds.
"""

import os
import sys
from collections import deque
from math import prod
from mmap import mmap
from sys import getrefcount
from typing import Any

import numpy as np

from funcflow.core.memory import aligned_bytes

if sys.platform == "linux":
    from mmap import MAP_ANONYMOUS, MAP_PRIVATE

SMALLEST = 4 * 2**10  # below it, to take a block and to look after it takes longer than fresh pages
_PROBES = 8
_BYTE = np.dtype(np.uint8)

# NumPy asks Linux for huge pages where an array has so many bytes.
_IN_HUGE_PAGES = 4 * 2**20


class _Shelf:
    """The blocks of one size, the one that was handed out last at the right end.

    It is also the most likely to be in the processor's cache, so it is tried first. A block is kept
    as a view of aligned start; what counts references is the array behind it, its `base`, because
    that is what views of views refer to as well.
    """

    __slots__ = ("blocks", "used")

    def __init__(self) -> None:
        self.blocks: deque[np.ndarray] = deque()
        self.used = 0


class _Pages(mmap):
    """Memory straight from the system.

    It is in pages of the size that the system chooses. A huge page is cleared as a whole when it is
    first touched, and in a virtual machine its host may first have to find the memory for it, which
    takes five times as long as small pages do. Once memory is touched, either is as fast.
    """


def _new_block(size: int) -> np.ndarray:
    if sys.platform == "linux" and size >= _IN_HUGE_PAGES:
        try:
            pages = _Pages(-1, size, MAP_PRIVATE | MAP_ANONYMOUS)
        except OSError as error:
            raise MemoryError(f"no {size} bytes") from error
        return np.ndarray((size,), np.uint8, pages)[:]
    return aligned_bytes(size)


def _references(block: np.ndarray) -> int:
    return getrefcount(block.base)


# What `_references` says of a block without users; it depends on the interpreter.
_FREE = _references(aligned_bytes(1))


class Pool:
    """Recycled memory, for any number of threads.

    Args:
        limit_bytes: how much memory the pool keeps at most, in use or not. Blocks beyond it are not
            recycled: they go back to the system when their last user is gone.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._shelves: dict[int, _Shelf] = {}
        # For people to read, so it does not matter if two threads once count as one.
        self._taken = self._fresh = 0

    def take(self, nbytes: int) -> np.ndarray:
        """Uninitialised bytes, as aligned as `core.memory.ALIGNMENT` says."""
        if nbytes < SMALLEST:
            return aligned_bytes(nbytes)
        return self._take(nbytes, (nbytes,), _BYTE)

    def take_array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """An uninitialised C-contiguous array.

        Raises:
            MemoryError: there is not enough memory, even without the pool's unused blocks.
        """
        nbytes = prod(shape) * dtype.itemsize
        if nbytes < SMALLEST:
            return np.empty(shape, dtype)
        return self._take(nbytes, shape, dtype)

    def is_sole_view(self, array: np.ndarray) -> bool:
        """Whether nothing but an array, which is a view, refers to the memory behind it.

        The answer holds as long as nobody else has the array. It may be no where it could be yes.
        """
        owner = array.base
        if type(owner) is not np.ndarray or not isinstance(owner.base, _Pages | None):
            return False
        del owner
        shelf = self._shelves.get(size_class(array.nbytes))
        for block in list(shelf.blocks) if shelf is not None else ():
            if block.base is array.base:
                return _references(block) == _FREE + 1
        return _references(array) == _FREE  # the pool does not keep it

    def clear(self) -> None:
        """Forget all blocks; what is in use stays valid, and is freed when it is no longer used."""
        self._shelves = {}

    def stats(self) -> dict[str, int]:
        """Bytes kept and how many of them are free, and how often memory was recycled or not."""
        kept = free = 0
        for size, shelf in list(self._shelves.items()):
            for block in list(shelf.blocks):
                kept += size
                free += size * (_references(block) == _FREE)
        reused = self._taken - self._fresh
        return {"kept": kept, "free": free, "reused": reused, "fresh": self._fresh}

    def _take(self, nbytes: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        size = size_class(nbytes)
        shelf = self._shelves.get(size)
        if shelf is None:
            shelf = self._shelves.setdefault(size, _Shelf())
        self._taken += 1
        shelf.used = self._taken
        blocks = shelf.blocks
        for _ in range(min(len(blocks), _PROBES)):
            try:
                block = blocks.pop()
            except IndexError:  # another thread was faster
                break
            if _references(block) == _FREE:
                view = np.ndarray(shape, dtype, block)  # before other threads see the block again
                blocks.append(block)
                return view
            blocks.appendleft(block)
        self._fresh += 1
        block = self._allocate(size)
        view = np.ndarray(shape, dtype, block)
        if size <= self._limit:
            self._make_room(size)
            blocks.append(block)
        return view

    def _allocate(self, size: int) -> np.ndarray:
        try:
            return _new_block(size)
        except MemoryError:
            self.clear()
            return _new_block(size)

    def _make_room(self, size: int) -> None:
        """Drop blocks, first of the sizes that were not asked for longest, until `size` fits."""
        shelves = sorted(list(self._shelves.items()), key=lambda item: item[1].used)
        kept = sum(each * len(shelf.blocks) for each, shelf in shelves)
        for each, shelf in shelves:
            while kept + size > self._limit and shelf.blocks:
                try:
                    shelf.blocks.popleft()
                except IndexError:  # another thread was faster
                    break
                kept -= each


def size_class(nbytes: int) -> int:
    """The size of the blocks that serve so many bytes: at most an eighth more.

    What is too much is never touched, so it costs address space, not memory.
    """
    step = 1 << max(nbytes.bit_length() - 4, 0)
    return -(-nbytes // step) * step


def default_limit() -> int:
    """An eighth of the machine's memory, at most 8 GiB; 1 GiB where its size is unknown."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 2**30
    return min(memory // 8, 8 * 2**30)
