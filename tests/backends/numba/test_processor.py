"""The processor as Linux describes it, and as unknown as it is elsewhere."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from funcflow.backends.numba import processor

BLOCK = """processor\t: {number}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 207
model name\t: Some Processor
stepping\t: 2
cpu MHz\t\t: {mhz}
flags\t\t: fpu {flags}

"""


def pretend(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    names = SimpleNamespace(machine=machine)
    monkeypatch.setattr(processor, "sys", SimpleNamespace(platform=system))
    monkeypatch.setattr(processor, "os", SimpleNamespace(uname=lambda: names))


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Writes what the system says; returns the signature and the features then."""

    def describe(text: str) -> tuple[str | None, frozenset[str] | None]:
        file = tmp_path / "cpuinfo"
        file.write_text(text)
        monkeypatch.setattr(processor, "_DESCRIPTION", file)
        pretend(monkeypatch, "linux", "x86_64")
        return processor.signature.__wrapped__(), processor.features.__wrapped__()

    return describe


def test_features_are_words(described) -> None:
    _, features = described(BLOCK.format(number=0, mhz=1, flags="fma avx512f"))
    assert features == {"fpu", "fma", "avx512f"}


def test_the_signature_tells_processors_apart_but_not_moments(described) -> None:
    one, _ = described(BLOCK.format(number=0, mhz=2000, flags="fma"))
    later, _ = described(BLOCK.format(number=0, mhz=2500, flags="fma") * 2)
    other, _ = described(BLOCK.format(number=0, mhz=2000, flags="fma avx2"))
    assert one == later != other


@pytest.mark.parametrize("text", ["", "processor : 0\nflags : fma\n\n", BLOCK.rstrip()])
def test_an_unusual_description_is_unknown(described, text: str) -> None:
    assert described(text.replace("{", "").replace("}", "")) == (None, None)


@pytest.mark.parametrize(("system", "machine"), [("linux", "aarch64"), ("darwin", "x86_64")])
def test_other_systems_are_unknown(
    described, monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    described(BLOCK)
    pretend(monkeypatch, system, machine)
    assert processor.signature.__wrapped__() is None
    assert processor.features.__wrapped__() is None
