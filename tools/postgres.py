"""A PostgreSQL server for tests: installed if it is missing, started in a folder of its own, gone when its user is.

    python tools/postgres.py serve      # prints a URL, serves until its standard input ends
    python tools/postgres.py install    # only makes sure that the server is there

Nothing it stores survives it, so it runs without fsync. It listens on a Unix socket only.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path


def find_server() -> Path | None:
    """The folder with `initdb` and `postgres`, None if no server is installed."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    on_path = [Path(found).resolve().parent for name in ("postgres", "initdb") if (found := shutil.which(name))]
    for folder in [*packaged, *on_path, Path("/opt/homebrew/bin")]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


def install() -> Path:
    """The server's folder, after installing the distribution's package if need be."""
    found = find_server()
    if found is not None:
        return found
    done = subprocess.run([Path(__file__).with_name("apt_install.sh"), "postgresql"], stdout=sys.stderr, check=False)
    if done.returncode:
        raise SystemExit("no PostgreSQL server found: install one (its `initdb` and `postgres` must be on the PATH)")
    found = find_server()
    if found is None:
        raise SystemExit("the package `postgresql` was installed, but it holds no `initdb`")
    return found


def find_account() -> pwd.struct_passwd | None:
    """Whom the server runs as: it refuses to run as root. None = as we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemExit("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as")


def serve() -> None:
    """Start a fresh server, print its URL, and stop it when standard input ends, or at SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # who ends all of a test's processes must not leave the database behind
    programs = install()
    account = find_account()
    folder = Path(tempfile.mkdtemp(prefix="fw-pg-", dir="/tmp"))  # a socket's path must be short
    as_user: dict[str, object] = {"cwd": "/"}
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_user |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    data = folder / "data"
    server = None
    try:
        init = [programs / "initdb", "-D", data, "-U", "fairway", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(init, capture_output=True, text=True, check=False, **as_user)  # type: ignore[call-overload]
        if done.returncode:
            raise SystemExit(f"initdb failed:\n{done.stderr}")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": folder,
            "fsync": "off",
            "max_connections": "120",
            "shared_buffers": "32MB",
        }
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        server = subprocess.Popen(  # type: ignore[call-overload]
            [programs / "postgres", "-D", data, *options], stdin=subprocess.DEVNULL, stdout=2, start_new_session=True, **as_user
        )
        wait_until_ready(programs, folder, server)
        print(f"postgresql://fairway@/postgres?host={folder}", flush=True)
        sys.stdin.read()
    finally:
        if server is not None and server.poll() is None:
            server.send_signal(signal.SIGQUIT)  # at once: there is nothing to keep
            server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_ready(programs: Path, folder: Path, server: subprocess.Popen[bytes]) -> None:
    """Return when the server answers; SystemExit when it has ended or takes too long."""
    import time

    until = time.monotonic() + 60
    while subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False).returncode:
        if server.poll() is not None or time.monotonic() > until:
            raise SystemExit("the PostgreSQL server did not start")
        time.sleep(0.05)


def main(arguments: list[str]) -> None:
    if arguments == ["serve"]:
        serve()
    elif arguments == ["install"]:
        print(install())
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
