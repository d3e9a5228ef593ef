"""Trees on disk: `save` and `restore`.

A checkpoint is a folder, one of several in a directory, with the arrays in `arrays.safetensors` and
everything else in `tree.json`: each leaf's key path, dtype and shape, and the leaves that are no
arrays. `checkpoints.json` beside the folders lists those that are whole. It is replaced in one
step, after the folder is on disk; so whatever interrupts a save, what was listed before is there.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import funcflow.numpy as fnp
from funcflow.core.array import as_buffer, wrap
from funcflow.core.errors import CheckpointError
from funcflow.core.pytree import keystr, tree_flatten_with_path
from funcflow.core.typing import PyTree
from funcflow.nn.arrays import is_array

FORMAT = 1
_LIST = "checkpoints.json"
_TREE = "tree.json"
_ARRAYS = "arrays.safetensors"

# How dtypes that the file format, or its reader, lacks are stored: as others of the same size.
_STORED_AS = {"bfloat16": "uint16", "complex128": "float64"}


def save(directory: str | os.PathLike[str], tree: PyTree, *, step: int = 0, keep: int = 1) -> Path:
    """Save a tree, such as a model, an optimiser's state, a key and numbers in a dictionary.

    Args:
        directory: where the checkpoints of one run lie; it is made if need be.
        tree: leaves are arrays, keys, numbers, booleans and strings.
        step: the number under which `restore` finds it; one of the same number is replaced.
        keep: how many checkpoints to keep, the newest; those saved before them are deleted.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: a leaf is of another type; the message has its key path.
        OSError: the disk is full, or the directory cannot be written to. What it held is there.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> path = ff.train.save(folder, {"w": fnp.ones(3), "epoch": 2}, step=10)
        >>> ff.train.restore(folder, {"w": fnp.zeros(3), "epoch": 0})
        {'w': Array([1., 1., 1.], dtype=float32), 'epoch': 2}
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    listed = _listed(directory)
    writing = Path(tempfile.mkdtemp(prefix=".writing-", dir=directory))
    try:
        _write(writing, tree)
        folder = directory / _free_name(directory, f"step-{step:08d}")
        os.replace(writing, folder)
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise
    _sync(directory)
    entries = [entry for entry in listed if entry["step"] != step]
    entries.append({"step": step, "folder": folder.name})
    entries = entries[-keep:]
    _replace_text(directory / _LIST, json.dumps({"format": FORMAT, "checkpoints": entries}))
    kept = {entry["folder"] for entry in entries}
    for entry in listed:
        if entry["folder"] not in kept:
            shutil.rmtree(directory / entry["folder"], ignore_errors=True)
    return folder


def restore(
    directory: str | os.PathLike[str],
    like: PyTree,
    *,
    step: int | None = None,
    partial: bool = False,
) -> PyTree:
    """The tree that was saved, in the structure of another one.

    Args:
        directory: where `save` saved it.
        like: a tree of the same structure, whose leaves have the same shapes and dtypes, such as a
            freshly made model. `ff.ShapeDtypeStruct`s will do.
        step: which checkpoint; the newest if None.
        partial: whether the checkpoint may hold more than `like` does.

    Returns:
        The tree, with arrays for arrays; static fields are those of `like`.

    Raises:
        CheckpointError: there is no such checkpoint, it is damaged, or the trees do not fit: the
            message lists the key paths that are missing, or have another shape or dtype.
    """
    directory = Path(directory)
    folder = directory / _entry(directory, step)["folder"]
    saved = _read(folder)
    keyed, treedef = tree_flatten_with_path(like)
    expected = {keystr(path): _description(keystr(path), leaf) for path, leaf in keyed}
    found = {path: entry for path, (entry, _) in saved.items() if not partial or path in expected}
    _require_equal(folder, expected, found)
    leaves = [_like(leaf, saved[keystr(path)][1]) for path, leaf in keyed]
    return treedef.unflatten(leaves)


def saved_steps(directory: str | os.PathLike[str]) -> list[int]:
    """The numbers of the checkpoints in a directory, in the order in which they were saved.

    Example:
        >>> ff.train.saved_steps("nowhere")
        []
    """
    return [entry["step"] for entry in _listed(Path(directory))]


# --- the list of checkpoints ----------------------------------------------------------------------


def _listed(directory: Path) -> list[dict[str, Any]]:
    try:
        text = (directory / _LIST).read_text("utf-8")
    except FileNotFoundError:
        return []
    return _parsed(directory / _LIST, text)["checkpoints"]


def _entry(directory: Path, step: int | None) -> dict[str, Any]:
    entries = _listed(directory)
    found = [entry for entry in entries if step is None or entry["step"] == step]
    if not found:
        steps = ", ".join(str(entry["step"]) for entry in entries) or "none"
        what = "checkpoint" if step is None else f"checkpoint of step {step}"
        raise CheckpointError(
            f"restore: there is no {what} in {directory}; it has: {steps}",
            mend="save one with ff.train.save, or name another directory",
        )
    return found[-1]


def _free_name(directory: Path, name: str) -> str:
    """A name that no folder has: the one to be replaced stays until the new one is listed."""
    names: Iterable[str] = (f"{name}.{i}" if i else name for i in range(10**9))
    return next(name for name in names if not (directory / name).exists())


# --- one checkpoint -------------------------------------------------------------------------------


def _write(folder: Path, tree: PyTree) -> None:
    from safetensors.numpy import save_file

    arrays: dict[str, np.ndarray[Any, Any]] = {}
    entries: list[dict[str, Any]] = []
    for path, leaf in tree_flatten_with_path(tree)[0]:
        name = keystr(path)
        entries.append({"path": name, **_description(name, leaf)})
        if is_array(leaf):
            arrays[name] = _stored(as_buffer(leaf))
        else:
            entries[-1]["value"] = leaf
    save_file(arrays, folder / _ARRAYS)
    (folder / _TREE).write_text(json.dumps({"format": FORMAT, "leaves": entries}, indent=1))
    for name in (_ARRAYS, _TREE):
        _sync(folder / name)


def _read(folder: Path) -> dict[str, tuple[dict[str, Any], Any]]:
    """For each key path what `tree.json` says of the leaf, and its value."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        entries = _parsed(folder / _TREE, (folder / _TREE).read_text("utf-8"))["leaves"]
        arrays = load_file(folder / _ARRAYS)
        leaves: dict[str, tuple[dict[str, Any], Any]] = {}
        for entry in entries:
            path = entry.pop("path")
            value = entry.pop("value") if "value" in entry else _unstored(arrays[path], entry)
            leaves[path] = (entry, value)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"restore: the checkpoint {folder} is damaged: {error}",
            mend="restore another step; ff.train.saved_steps lists them",
        ) from error
    return leaves


def _description(path: str, leaf: Any) -> dict[str, Any]:
    """The type of a leaf: what must be equal for it to be restored."""
    if is_array(leaf) or (hasattr(leaf, "shape") and hasattr(leaf, "dtype")):
        return {"dtype": str(leaf.dtype), "shape": list(leaf.shape)}
    if isinstance(leaf, bool | int | float | str):
        return {"type": type(leaf).__name__}
    raise CheckpointError(
        f"a leaf of type {type(leaf).__name__} at {path} cannot be saved",
        mend="leaves are arrays, numbers, booleans and strings; make other fields `nn.static()`",
    )


def _stored(array: Any) -> np.ndarray[Any, Any]:
    array = np.ascontiguousarray(array)
    stored = _STORED_AS.get(array.dtype.name)
    return array if stored is None else np.atleast_1d(array).view(stored)


def _unstored(array: np.ndarray[Any, Any], entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    dtype = fnp.dtype(entry["dtype"])
    return array.view(dtype).reshape(entry["shape"])


def _like(leaf: Any, value: Any) -> Any:
    if isinstance(leaf, bool | int | float | str):
        return value
    return wrap(value, weak_type=getattr(leaf, "weak_type", False))


def _require_equal(folder: Path, expected: dict[str, Any], saved: dict[str, Any]) -> None:
    lines = [f"{path}: is not in the checkpoint" for path in expected if path not in saved]
    lines += [f"{path}: is in the checkpoint only" for path in saved if path not in expected]
    lines += [
        f"{path}: expected {_words(expected[path])}, the checkpoint has {_words(saved[path])}"
        for path in expected
        if path in saved and expected[path] != saved[path]
    ]
    if lines:
        raise CheckpointError(
            "\n  ".join([f"restore: the tree does not fit the checkpoint {folder}:", *lines]),
            mend="restore into a tree made as the one that was saved",
        )


def _words(description: dict[str, Any]) -> str:
    if "type" in description:
        return description["type"]
    return f"{description['dtype']}[{','.join(map(str, description['shape']))}]"


# --- files ----------------------------------------------------------------------------------------


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has the format {content.get('format')!r}, this release reads {FORMAT}",
            mend="use the release of funcflow that wrote it, or a newer one",
        )
    return content


def _replace_text(path: Path, text: str) -> None:
    """Give a file another content, all of it or nothing."""
    handle, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(path: Path) -> None:
    """See to it that a file or folder is on disk; folders cannot be opened on Windows."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
