"""Object code on disk, so that a later process need not compile what an earlier one has.

An entry is a file named by a hash of what was compiled and of all that the result depends on, so
an entry is never out of date and never changes. It is written under another name first and then
renamed, so readers see all of it or nothing, however many processes write at once. It carries a
checksum: a damaged entry is removed and compiled anew. The checksum is no signature; code is run
from this directory, so nobody else may be able to write there.

A cache can fail in no way that a caller must handle. Where the directory cannot be used, `get`
finds nothing, `put` does nothing, and `status` says why.
"""

import os
import sys
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

VARIABLE = "FUNCFLOW_CACHE_DIR"
DEFAULT_LIMIT = 256 * 2**20

_MAGIC = b"funcflow"
_HEADER = len(_MAGIC) + sha256().digest_size
_SUFFIX = ".kernel"
# A hit renews an entry's date at most this often (seconds), so that most hits only read.
_RENEWAL = 3600


def default_directory() -> Path | None:
    """Where to keep compiled kernels: FUNCFLOW_CACHE_DIR, or a place in the user's cache directory.

    None if the variable is empty or "0", or if the user has no home.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        return None if chosen in ("", "0") else Path(chosen)
    try:
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return base / "funcflow"


class KernelCache:
    """A directory of object code, used by any number of processes at once.

    Args:
        directory: made when the first entry is written; None for no cache.
        limit_bytes: how large the directory may grow. It is checked now and then, and may be
            exceeded by about a sixteenth in between; what was not used for longest goes first.
        version: what the code depends on besides its key; entries of other versions are not found.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from funcflow.backends.cache import KernelCache
        >>> cache = KernelCache(Path(tempfile.mkdtemp()), 2**20, "x86-64, LLVM 22")
        >>> cache.put("the text of a kernel", b"its object code")
        >>> cache.get("the text of a kernel")
        b'its object code'
    """

    def __init__(self, directory: Path | None, limit_bytes: int, version: str) -> None:
        self._directory = directory
        self._limit = limit_bytes
        self._version = version.encode()
        self._problem = ""

    @property
    def status(self) -> str:
        """Where the entries are, or why there are none; for people to read."""
        if self._directory is None:
            return f"no disk cache: {VARIABLE} is empty, or the user has no home directory"
        if self._problem:
            return f"disk cache {self._directory} not in use: {self._problem}"
        return f"disk cache {self._directory}"

    def get(self, key: str) -> bytes | None:
        """What was stored under a key, or None."""
        if self._directory is None:
            return None
        path = self._path(self._directory, key)
        try:
            with open(path, "rb") as file:
                entry = file.read()
                age = time.time() - os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None
        except OSError as error:
            self._problem = str(error)
            return None
        code = entry[_HEADER:]
        intact = entry[:_HEADER] == _header(code)
        with suppress(OSError):  # a directory that is only read keeps its dates and its damage
            if not intact:
                path.unlink()
            elif age > _RENEWAL:
                os.utime(path)
        return code if intact else None

    def put(self, key: str, code: bytes) -> None:
        """Store code under a key. Nothing happens where that is impossible."""
        if self._directory is None or self._problem:
            return
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self._path(self._directory, key), _header(code) + code)
            # Looking through the directory takes long, so it is done once per so many bytes: by
            # chance, because a process that writes little does not know what others have written.
            if int.from_bytes(os.urandom(4)) / 2**32 * self._limit < 16 * len(code):
                self._evict(self._directory)
        except OSError as error:
            self._problem = str(error)

    def _path(self, directory: Path, key: str) -> Path:
        digest = sha256(self._version + b"\0" + key.encode())
        return directory / (digest.hexdigest() + _SUFFIX)

    def _evict(self, directory: Path) -> None:
        """Where the limit is exceeded, remove the oldest entries until a quarter of it is free."""
        entries = []
        for entry in os.scandir(directory):
            if entry.name.endswith(_SUFFIX):
                with suppress(FileNotFoundError):  # another process evicts too
                    state = entry.stat()
                    entries.append((state.st_mtime, state.st_size, entry.path))
        total = sum(size for _, size, _ in entries)
        if total <= self._limit:
            return
        for _, size, path in sorted(entries):
            if total <= self._limit * 3 // 4:
                break
            with suppress(FileNotFoundError):
                os.unlink(path)
            total -= size


def _header(code: bytes) -> bytes:
    return _MAGIC + sha256(code).digest()


def _write(path: Path, entry: bytes) -> None:
    """Write a file that appears as a whole or not at all."""
    # With the suffix of entries: one that is left behind by a killed process is evicted like them.
    temporary = path.with_name(f"writing-{os.urandom(8).hex()}{_SUFFIX}")
    try:
        with open(temporary, "xb", opener=_for_us_alone) as file:
            file.write(entry)
        os.replace(temporary, path)
    except FileNotFoundError:
        pass  # evicted before it had its name: it will be written again
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        if not path.exists():  # Windows does not replace a file that is being read
            raise


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)
