#!/bin/sh
# Prints the Python this project is built with: the first of these that really runs, is 3.11 or newer, and can make a virtual environment.
# FAIRWAY_PYTHON names another one. A version manager's shim that leads nowhere does not count.
for name in ${FAIRWAY_PYTHON:-python3.13 python3.12 python3.11 python3.14 python3}; do
    found=$("$name" -c 'import sys; print(sys.executable) if sys.version_info >= (3, 11) else sys.exit(1)' 2>/dev/null) || continue
    "$found" -c 'import ensurepip' 2>/dev/null && printf '%s\n' "$found" && exit 0
    without=${without:-$found}
done
if [ -n "$without" ]; then
    # Debian and Ubuntu ship Python without ensurepip.
    version=$("$without" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$(dirname "$0")/apt_install.sh" "python$version-venv" >&2 && "$without" -c 'import ensurepip' 2>/dev/null && printf '%s\n' "$without" && exit 0
    echo "$without cannot make virtual environments: install python$version-venv" >&2
    exit 1
fi
echo "no Python 3.11 or newer was found: install one, or name it with FAIRWAY_PYTHON=/path/to/python" >&2
exit 1
