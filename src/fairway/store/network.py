"""Does a path lie on a network file system? SQLite's write-ahead log needs memory that all its users share, which those do not have."""

from __future__ import annotations

import os

_NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "9p",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "glusterfs",
        "ocfs2",
        "gfs2",
        "pvfs2",
        "fhgfs",
    }
)
_LOCAL_FUSE = frozenset({"fuse.ntfs-3g", "fuse.exfat", "fuse.fuse-overlayfs", "fuse.lxcfs"})


def find_network_type(path: str, mounts: str = "/proc/self/mounts") -> str:
    """The type of the network file system that `path` lies on ("nfs4"), "" if it is a local one or that cannot be told."""
    try:
        if os.major(os.stat(path).st_dev) != 0:  # a block device: no network file system has one
            return ""
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    kind = find_mount_type(os.path.realpath(path), lines)
    is_network = kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)
    return kind if is_network else ""


def find_mount_type(path: str, lines: list[str]) -> str:
    """The type of the file system mounted nearest above `path`; of several on one folder the last one counts."""
    best, kind = -1, ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        folder = fields[1].encode("utf-8", "surrogateescape").decode("unicode_escape", "replace") if "\\" in fields[1] else fields[1]
        above = folder.rstrip("/") + "/"
        if len(above) >= best and (path + "/").startswith(above):
            best, kind = len(above), fields[2]
    return kind
