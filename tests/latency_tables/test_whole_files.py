import os
import resource
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from latency_tables.whole_files import SUFFIX, write_whole


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """To write more ends as on a full disk: in the middle."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_made_and_replaced_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"first")
    write_whole(path, b"second", memoryview(b", in chunks"), fsync=True)
    assert path.read_bytes() == b"second, in chunks"
    write_whole(path)
    assert path.read_bytes() == b""
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fsync", [False, True])
@pytest.mark.parametrize("old", [None, b"old"])
def test_writing_that_fails_in_the_middle_leaves_what_was_there(tmp_path: Path, old: bytes | None, fsync: bool) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    with files_of_at_most(100_000), pytest.raises(OSError, match="File too large"):
        write_whole(path, b"x" * 90_000, b"y" * 90_000, fsync=fsync)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([] if old is None else [old])


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace"])
def test_a_disk_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def fail(*_: object) -> None:
        raise OSError("broken disk")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(failing, fail)
    with pytest.raises(OSError, match="broken disk"):
        write_whole(path, b"new", fsync=True)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_permissions_are_those_of_any_new_file_or_exactly_those_given(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with umask(0o027):
        write_whole(path, b"")
        assert mode_of(path) == 0o640
        write_whole(path, b"", mode=0o600)
        assert mode_of(path) == 0o600
        write_whole(path, b"", mode=0o644)
        assert mode_of(path) == 0o644


def test_a_secret_is_never_readable_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        modes.extend(mode_of(path) for path in tmp_path.iterdir() if path.name.endswith(SUFFIX))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    with umask(0):
        write_whole(tmp_path / "key", b"secret", mode=0o600, fsync=True)
    assert modes == [0o600]


def test_a_new_file_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"first", new=True)
    with pytest.raises(FileExistsError):
        write_whole(path, b"second", new=True)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"first"]


def test_of_writers_at_once_one_wins_and_every_reader_sees_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([letter]) * 100_000 for letter in b"abcd"]
    path.write_bytes(contents[0])

    def write(content: bytes) -> None:
        for _ in range(20):
            write_whole(path, content)

    with ThreadPoolExecutor(len(contents)) as pool:
        writers = [pool.submit(write, content) for content in contents]
        while not all(writer.done() for writer in writers):
            assert path.read_bytes() in contents
    assert all(writer.exception() is None for writer in writers)
    assert list(tmp_path.iterdir()) == [path]
