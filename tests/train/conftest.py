"""A small problem: whether a point lies in the first quadrant. And a reader of event files."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import funcflow as ff
from funcflow import nn


class Problem(NamedTuple):
    model: Any
    data: tuple[Any, Any]


@pytest.fixture
def problem() -> Problem:
    k1, k2 = ff.random.split(ff.random.key(0))
    model = nn.Sequential(
        [nn.Linear(2, 16, key=k1), nn.BatchNorm(16), nn.relu, nn.Dropout(0.1)]
        + [nn.Linear(16, 2, key=k2)]
    )
    x = np.random.default_rng(0).normal(size=(96, 2)).astype(np.float32)
    return Problem(model, (x, (x > 0).all(1).astype(np.int32)))


@pytest.fixture
def read_run() -> Callable[[Path], list[Any]]:
    """A function that gives the events of a run which count for TensorBoard, by time of writing."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    def read(folder: Path) -> list[Any]:
        kept: list[Any] = []
        for event in (Event.FromString(x) for p in sorted(folder.iterdir()) for x in _records(p)):
            if event.session_log.status == SessionLog.START:
                kept = [earlier for earlier in kept if earlier.step < event.step]
            elif not event.file_version:
                kept.append(event)
        return kept

    return read


@pytest.fixture
def read_summaries(read_run: Any) -> Callable[[Path, str], dict[tuple[str, int], Any]]:
    """A function that gives a run's values of one kind, by tag and step; none is there twice."""

    def read(folder: Path, kind: str) -> dict[tuple[str, int], Any]:
        found: dict[tuple[str, int], Any] = {}
        for event in read_run(folder):
            for value in event.summary.value:
                if value.WhichOneof("value") == kind:
                    place = value.tag, event.step
                    assert place not in found, f"{place} was written twice"
                    found[place] = getattr(value, kind)
        return found

    return read


def _records(path: Path) -> Iterator[bytes]:
    """The records of a file; each has its length in front, and checksums of both."""
    data = path.read_bytes()
    while data:
        length, checksum = struct.unpack("<QI", data[:12])
        assert _masked_crc(data[:8]) == checksum
        record, rest = data[12 : 12 + length], data[12 + length :]
        assert (_masked_crc(record),) == struct.unpack("<I", rest[:4])
        yield record
        data = rest[4:]


def _masked_crc(data: bytes) -> int:
    """CRC-32C, turned and shifted as TensorFlow's records have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF
