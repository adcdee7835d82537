#!/bin/sh
# Makes .venv with Fairway (editable) and the given extras: tools/make_venv.sh STAMP EXTRA[,EXTRA...] [PIP ARGUMENTS...]
# Quiet; touches STAMP when all is there.
set -eu
stamp=$1 extras=$2
shift 2
venv=$(dirname "$stamp")
if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    python=$("$(dirname "$0")/find_python.sh")
    echo "making $venv with $python" >&2
    "$python" -m venv --clear "$venv"
fi
echo "installing fairway[$extras] into $venv" >&2
# A wheel that is kept beside its installation takes its room twice: not where room is short.
free_mib=$(df -Pm "$venv" | awk 'NR == 2 { print $4 }')
[ "$free_mib" -ge 30000 ] || export PIP_NO_CACHE_DIR=1
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[$extras]" "$@" >&2
touch "$stamp"
