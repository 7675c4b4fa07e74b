"""The members of a tar file that a stranger may have made; nothing is ever extracted."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator

from msr import safe

EXTENDED = 16 * 2**10  # bytes of an extended header (a long name, attributes); usual are 100
EXTENDED_TYPES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class Header(tarfile.TarInfo):
    """The header of a member. What is damaged or too large is an error, never the end of the tar.

    tarfile itself reads an extended header of any size into memory, and takes a damaged header for
    the end.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
        """Return the header in a block of 512 bytes. Raises tarfile.ReadError."""
        if len(buf) == tarfile.BLOCKSIZE and not any(buf):  # the end, as tarfile knows it
            return super().frombuf(buf, encoding, errors)
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}") from None
        if header.size < 0:
            raise tarfile.ReadError("a member has a negative size")
        if header.type in EXTENDED_TYPES and header.size > EXTENDED:
            raise tarfile.ReadError(
                f"an extended header has {header.size:,} bytes, more than {EXTENDED:,}"
            )
        return header


def opened(path: str) -> tarfile.TarFile:
    """Open a tar file that is not compressed.

    Raises tarfile.ReadError for any other file, ValueError for what is no regular file, and
    OSError for one that is not there.
    """
    safe.regular(path)
    return tarfile.open(path, "r:", tarinfo=Header)


def walk(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an open tar in their order, and forget each at once.

    Raises tarfile.ReadError where a header leads backwards, and for a member that claims more bytes
    than the tar has. (tarfile would keep all members in memory, and loop.)
    """
    size, last = os.stat(os.fsdecode(tar.name or "")).st_size, -1
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]
        if member.offset <= last:
            raise tarfile.ReadError("its headers lead backwards")
        if member.isreg() and not member.issparse() and member.offset_data + member.size > size:
            raise tarfile.ReadError(f"it ends before '{safe.shown(member.name)}' does")
        last = member.offset
        yield member


def rest(path: str, end: int) -> str:
    """Return what is wrong with a tar whose members end at byte `end`, or "".

    Nothing but zeros may follow. tarfile takes the first block of zeros for the end, also where two
    tars were joined, or where a disk lost a block.
    """
    with open(path, "rb") as file:
        file.seek(end)
        while part := file.read(2**20):
            if part.strip(b"\0"):
                return f"there is more after its end, at byte {end:,}: two tars in one, or damage"
    return ""
