# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and directories of the managed host: read, compared, replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator


class Folder:
    """A folder that owns the files below it. In check mode it only compares."""

    def __init__(self, path: str, check: bool = False, mode: int = 0o755):
        self.path, self.check, self.mode = path, check, mode

    def full(self, relative: str) -> str:
        full = os.path.normpath(os.path.join(self.path, relative))
        if os.path.isabs(relative) or not full.startswith(self.path.rstrip("/") + "/"):
            raise ValueError(f"{relative!r} is not a path below {self.path}; give a relative path such as config/app.conf")
        return full

    def read(self, relative: str) -> bytes | None:
        """The content, or None where there is no such file."""
        try:
            with open(self.full(relative), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, relative: str, content: bytes, mode: int, uid: int = 0, gid: int = 0) -> bool:
        """Make the file so; True if it was not. The old content stays until the new is complete on the disk."""
        full = self.full(relative)
        closed = [(path, wanted) for path, wanted in self._folders(full) if not admits(path, wanted)]
        if not closed and self._is(full, content, mode, uid, gid):
            return False
        if not self.check:
            for path, wanted in closed:
                make_directories(path, wanted)
                os.chmod(path, wanted)
            replace(full, content, mode, uid, gid)
        return True

    def _folders(self, full: str) -> list[tuple[str, int]]:
        """This folder and those below it that lead to the file, with their modes."""
        below = os.path.relpath(os.path.dirname(full), self.path).split("/")
        paths = [os.path.normpath(os.path.join(self.path, *below[: depth + 1])) for depth in range(len(below))] if below != ["."] else []
        return [(self.path, self.mode), *((path, 0o755) for path in paths)]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One at a time: what is read from the folder, changed and written back. In check mode nothing is written, so nobody has to wait."""
        if self.check:
            yield
            return
        make_directories(self.path, self.mode)
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def remove(self, relative: str) -> None:
        if not self.check:
            os.unlink(self.full(relative))

    @staticmethod
    def _is(full: str, content: bytes, mode: int, uid: int, gid: int) -> bool:
        try:
            info = os.lstat(full)
            if not stat.S_ISREG(info.st_mode) or stat.S_IMODE(info.st_mode) != mode or (info.st_uid, info.st_gid) != (uid, gid):
                return False
            with open(full, "rb") as file:
                return file.read() == content
        except (FileNotFoundError, NotADirectoryError):
            return False


def read_inside(folder: str, path: str) -> bytes | None:
    """The content of a file below a folder where somebody else writes, who could put a link there: none is followed. None where there is no file."""
    parts = os.path.relpath(path, folder).split("/")
    if ".." in parts or parts == ["."]:
        raise ValueError(f"{path} is not a path below {folder}")
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for depth, part in enumerate(parts, 1):
            flags = os.O_NOFOLLOW | (os.O_DIRECTORY if depth < len(parts) else os.O_NONBLOCK)
            handle, above = os.open(part, os.O_RDONLY | flags, dir_fd=handle), handle
            os.close(above)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is not a file", path)
        with open(handle, "rb", closefd=False) as file:
            return file.read(1 << 20)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise OSError(error.errno, "leads over a link, or over what is no directory", path) from error
    finally:
        os.close(handle)


def replace(full: str, content: bytes, mode: int, uid: int, gid: int) -> None:
    """Put the content at the path in one step; nobody sees half of it, nor the wrong mode."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(full), prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, full)
    except BaseException:
        os.unlink(temporary)
        raise


def admits(path: str, mode: int) -> bool:
    """Whether the folder is there and open for those that the mode names. One that gives more, such as a folder of the system, is left alone."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode) & mode == mode
    except (FileNotFoundError, NotADirectoryError):
        return False


def make_directories(path: str, mode: int = 0o755) -> None:
    """The folder and those above it, with these modes whatever the umask of the session is: containers of other users go through them."""
    if not path or os.path.isdir(path):
        return
    make_directories(os.path.dirname(path))
    masked = os.umask(0)
    try:
        with contextlib.suppress(FileExistsError):  # another run came first
            os.mkdir(path, mode)
    finally:
        os.umask(masked)


def ensure_directory(path: str, uid: int, gid: int, mode: int, check: bool) -> bool:
    """Make the directory with owner and mode; True if it was not so. What is inside is left alone."""
    try:
        info = os.stat(path)
        if (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (uid, gid, mode):
            return False
    except FileNotFoundError:
        info = None
    if not check:
        make_directories(path, mode)
        os.chown(path, uid, gid)
        os.chmod(path, mode)
    return True


def current_generation(folder: str, name: str, value: str | None) -> tuple[str, bool]:
    """Path of the file that holds the secret's value, and whether it is there already. None asks for the newest, which must be there.

    A value is never replaced in its file: another value gets the next number, so a container that still runs keeps what it has.
    """
    pattern = re.compile(re.escape(name) + r"\.(\d+)$")
    try:
        numbers = sorted(int(match[1]) for match in map(pattern.match, os.listdir(folder)) if match)
    except FileNotFoundError:
        numbers = []
    if numbers:
        newest = os.path.join(folder, f"{name}.{numbers[-1]}")
        if value is None:
            return newest, True
        with open(newest, "rb") as file:
            if file.read() == value.encode():
                return newest, True
    if value is None:
        raise FileNotFoundError(f"there is no secret {name} in {folder}")
    return os.path.join(folder, f"{name}.{(numbers[-1] if numbers else 0) + 1}"), False
