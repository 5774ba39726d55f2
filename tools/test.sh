#!/bin/sh
# Runs every test: in two processes, then what judges the records of the whole run. Arguments go to pytest alone.
set -u
python=$1
shift
if [ $# -gt 0 ]; then
  exec "$python" -m pytest "$@"
fi
BOUNDARY_RECORDS=$(mktemp -d "${TMPDIR:-/tmp}/tidings-records-XXXXXX")
export BOUNDARY_RECORDS
trap 'rm -rf "$BOUNDARY_RECORDS"' EXIT
last=tests/boundaries/test_recorded.py
"$python" -m pytest -n 2 --dist loadgroup --ignore "$last"
run=$?
"$python" -m pytest "$last"
judged=$?
if [ $run -ne 0 ] || [ $judged -ne 0 ]; then
  echo "Tests failed; the first part's summary is above the second's." >&2
  exit 1
fi
