#!/bin/sh
# Branch coverage of all tests but the heavy ones; fails if a branch of the pure rooms is never taken.
# The pure rooms are measured apart, by their own tests alone and in one process, so that what covers them is meant to.
# `tools/coverage.sh pure` does only that.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
engine=src/fairway/engine
pure="src/fairway/spec/*,src/fairway/errors.py"
for room in apply decide resolve retry scopegraph state plan outcomes library summarise; do
    pure="$pure,$engine/$room.py"
done
if [ "${1:-}" != pure ]; then
    "$python" -m coverage erase
    "$python" -m coverage run -m pytest tests --ignore=tests/frameworks --ignore=tests/crash --quiet "$@"
    "$python" -m coverage report
fi
echo "the pure rooms:"
data="${TMPDIR:-/tmp}/fairway-pure-coverage.$$"
trap 'rm -f "$data"' EXIT
"$python" -m coverage run --rcfile=tools/pure.coveragerc --data-file="$data" --include="$pure" -m pytest tests/spec tests/engine --quiet
"$python" -m coverage report --rcfile=tools/pure.coveragerc --data-file="$data" --fail-under=100 --show-missing
