"""Folders of images, written here through Pillow."""

import sys

import numpy as np
import pytest

import funcflow as ff
from funcflow.errors import ArgumentError, DataFormatError

Image = pytest.importorskip("PIL.Image")

RNG = np.random.default_rng(0)
CAT = RNG.integers(0, 256, (4, 6, 3), np.uint8)
DOG = RNG.integers(0, 256, (4, 6), np.uint8)


@pytest.fixture
def folder(tmp_path):
    for name in ("dog", "cat"):
        (tmp_path / name / "inner").mkdir(parents=True)
    Image.fromarray(CAT).save(tmp_path / "cat" / "b.png")
    Image.fromarray(CAT[::-1]).save(tmp_path / "cat" / "a.PNG")
    Image.fromarray(DOG).save(tmp_path / "dog" / "inner" / "c.bmp")
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "license.txt").write_text("no class")
    return tmp_path


def test_images_and_labels(folder):
    source = ff.data.ImageFolder(folder, size=(4, 6))
    assert source.classes == ("cat", "dog")
    assert [path.name for path in source.paths] == ["a.PNG", "b.png", "c.bmp"]
    images, labels = source[np.array([2, 1, 0])]
    assert images.dtype == np.uint8 and labels.dtype == np.int32
    assert labels.tolist() == [1, 0, 0]
    np.testing.assert_array_equal(images, [np.repeat(DOG[..., None], 3, 2), CAT, CAT[::-1]])


def test_grey_images(folder):
    images, _ = ff.data.ImageFolder(folder, size=(4, 6), color="grey")[[1, 2]]
    assert images.shape == (2, 4, 6, 1)
    luma = CAT @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    np.testing.assert_allclose(images[0, ..., 0], luma, atol=1)
    np.testing.assert_array_equal(images[1, ..., 0], DOG)


def test_images_are_stretched(folder):
    Image.new("RGB", (50, 20), (10, 20, 30)).save(folder / "cat" / "b.png")
    images, _ = ff.data.ImageFolder(folder, size=(8, 5))[[1]]
    np.testing.assert_array_equal(images[0], np.broadcast_to([10, 20, 30], (8, 5, 3)))


def test_images_are_turned_upright(folder):
    image = Image.fromarray(CAT)
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(folder / "cat" / "b.png", exif=exif)
    images, _ = ff.data.ImageFolder(folder, size=(6, 4))[[1]]
    np.testing.assert_array_equal(images[0], np.rot90(CAT, -1))


def test_batches(folder):
    batches = ff.data.from_source(ff.data.ImageFolder(folder, size=(4, 6))).batch(2)
    assert [images.shape for images, _ in batches] == [(2, 4, 6, 3), (1, 4, 6, 3)]


def test_folders_without_images(tmp_path):
    with pytest.raises(DataFormatError, match="a folder for each class, found nothing"):
        ff.data.ImageFolder(tmp_path, size=(4, 4))
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "notes.txt").touch()
    with pytest.raises(DataFormatError, match=r"cat: expected images \(.bmp, .* found notes.txt"):
        ff.data.ImageFolder(tmp_path, size=(4, 4))


@pytest.mark.parametrize(
    "damage", [lambda c: b"", lambda c: c[: len(c) // 2], lambda c: b"GIF" + c]
)
def test_images_that_do_not_decode(folder, damage):
    path = folder / "cat" / "b.png"
    content = damage(path.read_bytes())
    path.write_bytes(content)
    source = ff.data.ImageFolder(folder, size=(4, 4))
    source[[0, 2]]  # which are not damaged
    message = f"b.png: expected an image in the format .png, found {len(content)} bytes that do not"
    with pytest.raises(DataFormatError, match=message):
        source[[1]]


def test_wrong_arguments(folder):
    with pytest.raises(ArgumentError, match="color='cmyk'"):
        ff.data.ImageFolder(folder, size=(4, 4), color="cmyk")  # pyright: ignore
    with pytest.raises(ArgumentError, match=r"size=\(0, 4\)"):
        ff.data.ImageFolder(folder, size=(0, 4))


def test_without_pillow(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs Pillow: pip install funcflow\[train\]"):
        ff.data.ImageFolder(folder, size=(4, 4))
