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
failed=
"$python" -m pytest -n 2 -o faulthandler_timeout=120 --ignore "$last" || failed=yes
"$python" -m pytest "$last" || failed=yes
if [ -n "$failed" ]; then
  echo "make test: tests failed; each part's summary is above." >&2
  exit 1
fi
