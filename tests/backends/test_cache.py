"""The disk cache: entries come back whole or not at all, and no fault reaches the caller."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from funcflow.backends import cache as module
from funcflow.backends.cache import KernelCache, default_directory

CODE = bytes(range(256)) * 8
LIMIT = 2**30


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "cache"


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_what_was_put_is_found_by_later_caches(folder):
    first = KernelCache(folder, LIMIT, "1")
    assert first.get("key") is None
    assert not folder.exists()  # reading makes nothing
    first.put("key", CODE)
    first.put("other", b"")
    later = KernelCache(folder, LIMIT, "1")
    assert later.get("key") == CODE
    assert later.get("other") == b""
    assert later.get("third") is None
    assert len(files(folder)) == 2
    assert str(folder) in later.status


def test_a_version_sees_only_its_own_entries(folder):
    KernelCache(folder, LIMIT, "cpu a").put("key", b"a")
    other = KernelCache(folder, LIMIT, "cpu b")
    assert other.get("key") is None
    other.put("key", b"b")
    assert KernelCache(folder, LIMIT, "cpu a").get("key") == b"a"
    assert other.get("key") == b"b"


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: b"",
        lambda entry: entry[:5],
        lambda entry: entry[:-1],
        lambda entry: entry + b"x",
        lambda entry: entry[:100] + bytes([entry[100] ^ 1]) + entry[101:],
        lambda entry: b"\x7fELF" + entry[4:],
    ],
    ids=["empty", "header cut", "end cut", "longer", "one bit", "foreign"],
)
def test_damaged_entries_are_removed(folder, damage):
    cache = KernelCache(folder, LIMIT, "1")
    cache.put("key", CODE)
    (path,) = files(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("key") is None
    assert not path.exists()
    cache.put("key", CODE)
    assert cache.get("key") == CODE


def test_without_a_directory_nothing_is_kept():
    cache = KernelCache(None, LIMIT, "1")
    cache.put("key", CODE)
    assert cache.get("key") is None
    assert "no disk cache" in cache.status


def test_a_directory_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = KernelCache(tmp_path / "file" / "cache", LIMIT, "1")
    assert cache.get("key") is None
    cache.put("key", CODE)
    assert cache.get("key") is None
    assert "not in use: " in cache.status


def test_a_full_disk_is_no_error(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    cache = KernelCache(folder, LIMIT, "1")
    cache.put("before", CODE)
    monkeypatch.setattr(module.os, "replace", full)
    cache.put("key", CODE)
    assert cache.get("before") == CODE  # what is there can still be read
    assert cache.get("key") is None
    assert "No space left" in cache.status
    assert len(files(folder)) == 1  # and no piece of the other entry is left


def test_an_unreadable_entry_is_no_error(folder):
    cache = KernelCache(folder, LIMIT, "1")
    cache.put("key", CODE)
    (path,) = files(folder)
    path.unlink()
    path.mkdir()
    assert cache.get("key") is None
    assert "not in use: " in cache.status


def test_the_oldest_entries_go_first(folder):
    cache = KernelCache(folder, 10 * 2100, "1")
    for number in range(10):
        cache.put(str(number), CODE)
        for path in files(folder):  # everything so far becomes a day older
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 86400))
    assert cache.get("0") == CODE  # and is new again
    (folder / "notes.txt").write_text("not ours" * 10_000)
    cache.put("10", CODE)
    kept = {str(n) for n in range(11) if cache.get(str(n))}
    assert kept == {"0", "5", "6", "7", "8", "9", "10"}
    assert (folder / "notes.txt").exists()


def test_the_directory_is_not_searched_at_each_put(folder, monkeypatch):
    searches = []
    monkeypatch.setattr(KernelCache, "_evict", lambda *_: searches.append(1))
    cache = KernelCache(folder, 16 * 20 * len(CODE), "1")
    for number in range(200):
        cache.put(str(number), CODE)
    assert 1 <= len(searches) <= 40  # 10 are expected; the odds against are millions to one


WRITERS = """
import os, sys
from pathlib import Path
from funcflow.backends.cache import KernelCache

def work(seed):
    cache = KernelCache(Path(sys.argv[1]), 40_000, "1")
    for step in range(150):
        key = str((step * 7 + seed) % 50)
        code = key.encode() * 500
        if cache.get(key) not in (None, code):
            return 1
        cache.put(key, code)
    return 2 if "not in use" in cache.status else 0

children = []
for seed in range(8):
    child = os.fork()
    if child == 0:
        os._exit(work(seed))
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def test_an_entry_that_is_evicted_while_it_is_written_is_no_problem(folder, monkeypatch):
    cache = KernelCache(folder, LIMIT, "1")
    replace = os.replace

    def evicted_first(source, target):
        os.unlink(source)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", evicted_first)
        cache.put("a", CODE)
    assert cache.get("a") is None and "not in use" not in cache.status
    cache.put("a", CODE)
    assert cache.get("a") == CODE


@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts processes by forking")
def test_eight_processes_write_at_once(tmp_path):
    run = [sys.executable, "-c", WRITERS, str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str([0] * 8), done.stderr
    assert sum(path.stat().st_size for path in files(tmp_path)) < 2 * 40_000
    assert not [path for path in files(tmp_path) if path.name.startswith("writing-")]


def test_the_directory_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("FUNCFLOW_CACHE_DIR", str(tmp_path))
    assert default_directory() == tmp_path
    for off in ("", "0"):
        monkeypatch.setenv("FUNCFLOW_CACHE_DIR", off)
        assert default_directory() is None


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, Path("/xdg/funcflow")),
        ("linux", {"XDG_CACHE_HOME": ""}, Path("/home/ada/.cache/funcflow")),
        ("darwin", {}, Path("/home/ada/Library/Caches/funcflow")),
        ("win32", {"LOCALAPPDATA": "/local"}, Path("/local/funcflow")),
    ],
)
def test_the_directory_is_the_platforms(monkeypatch, platform, variables, expected):
    monkeypatch.delenv("FUNCFLOW_CACHE_DIR", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_directory() == expected


def test_a_user_without_home_has_no_cache(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FUNCFLOW_CACHE_DIR", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(Path, "home", homeless)
    assert default_directory() is None


def test_a_hit_renews_an_old_entry(folder):
    cache = KernelCache(folder, LIMIT, "1")
    cache.put("key", CODE)
    (path,) = files(folder)
    os.utime(path, (0, time.time() - 7200))
    assert cache.get("key") == CODE
    assert time.time() - path.stat().st_mtime < 60
