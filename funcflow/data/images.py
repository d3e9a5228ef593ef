"""Folders of images, one folder inside for each class."""

from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from funcflow.core.errors import ArgumentError
from funcflow.data.files import FilePath, bad_file, found_in

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
_MODES = {"rgb": "RGB", "grey": "L"}


class ImageFolder:
    """A source of images and labels, from a folder with a folder of images for each class.

    Files are read when their elements are asked for. Those that do not end as images do (.png,
    .jpg, ...; see `SUFFIXES`) are passed over. Images are turned as their EXIF notes say, then
    stretched to one size by bilinear interpolation.

    Args:
        folder: the folder around the folders of the classes.
        size: height and width of the images.
        color: "rgb" for three channels, "grey" for one.

    Attributes:
        classes: the names of the folders, in order; the label of a class is its place there.
        paths: the files, one for each element.
        labels: their labels, int32 of shape (n,).

    Elements:
        `(images, labels)`: uint8 of shape (n, height, width, channels), int32 of shape (n,).

    Raises:
        ArgumentError: there is no such `color`, or a size is not positive.
        DataFormatError: there are no folders, or one has no images; when elements are asked for:
            a file is no image that can be read.
        ModuleNotFoundError: Pillow is not installed; it comes with the extra `train`.

    Example:
        >>> photos = ff.data.ImageFolder("photos", size=(64, 64))  # doctest: +SKIP
        >>> photos.classes  # doctest: +SKIP
        ('cat', 'dog')
    """

    def __init__(
        self, folder: FilePath, *, size: tuple[int, int], color: Literal["rgb", "grey"] = "rgb"
    ) -> None:
        if color not in _MODES:
            raise ArgumentError(f"ImageFolder: color={color!r}", mend="use 'rgb' or 'grey'")
        if min(size) < 1:
            raise ArgumentError(f"ImageFolder: size={size}", mend="use positive extents")
        self._pillow = _pillow()
        self._size, self._mode = size, _MODES[color]
        folders = sorted(path for path in Path(folder).iterdir() if path.is_dir())
        if not folders:
            expected = "a folder for each class"
            mend = "put the images into folders named as their classes"
            raise bad_file("ImageFolder", folder, "", expected, found_in(folder), mend)
        files = [_images_in(path) for path in folders]
        self.classes = tuple(path.name for path in folders)
        self.paths = [path for group in files for path in group]
        self.labels = np.repeat(np.arange(len(files), dtype=np.int32), [len(g) for g in files])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        indices = np.asarray(indices)
        channels = len(self._mode)
        images = np.empty((len(indices), *self._size, channels), np.uint8)
        for image, index in zip(images, indices, strict=True):
            image[...] = self._read(self.paths[index]).reshape(image.shape)
        return images, self.labels[indices]

    def _read(self, path: Path) -> np.ndarray:
        from PIL import ImageOps

        height, width = self._size
        try:
            with self._pillow.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert(self._mode)
        # Pillow's decoders raise what they come upon: OSError, SyntaxError, struct.error, ...
        except Exception as error:
            found = f"{path.stat().st_size} bytes that do not decode ({error})"
            expected = f"an image in the format {path.suffix}"
            raise bad_file("ImageFolder", path, "", expected, found) from error
        return np.asarray(upright.resize((width, height), self._pillow.Resampling.BILINEAR))


def _images_in(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        expected = f"images ({', '.join(sorted(SUFFIXES))})"
        raise bad_file("ImageFolder", folder, "", expected, found_in(folder), "add images")
    return paths


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        message = "ImageFolder needs Pillow: pip install funcflow[train]"
        raise ModuleNotFoundError(message, name="PIL") from error
    return Image
