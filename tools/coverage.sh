#!/bin/sh
# Branch coverage of all tests but the heavy ones; fails if a branch of the pure rooms is never taken.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
"$python" -m coverage erase
"$python" -m coverage run -m pytest tests --ignore=tests/frameworks --quiet "$@"
"$python" -m coverage report
echo "the pure rooms:"
"$python" -m coverage report --fail-under=100 --show-missing \
    --include='src/fairway/spec/*,src/fairway/errors.py,src/fairway/engine/apply.py,src/fairway/engine/decide.py'
