#!/bin/sh
# Installs Debian packages if this machine has apt and we may use it: tools/apt_install.sh PACKAGE...
# Fails with one clear line where it cannot.
set -eu
fail() { echo "cannot install $packages: $1" >&2; exit 1; }
packages=$*
command -v apt-get >/dev/null || fail "this machine has no apt-get; install it by your system's own means"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    fail "that needs root; run: sudo apt-get install $packages"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@" >"$log" 2>&1; }
# shellcheck disable=SC2086 # the words are package names
install $packages || { $as_root apt-get -o DPkg::Lock::Timeout=120 update >"$log" 2>&1 && install $packages; } || { tail -n 5 "$log" >&2; fail "apt-get failed"; }
