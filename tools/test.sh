#!/bin/sh
# Runs every test: in two processes, then what judges the records of the whole run; at last, whether anything is left.
# Arguments go to pytest alone.
set -u
python=$1
shift
if [ $# -gt 0 ]; then
  exec "$python" -m pytest "$@"
fi
# A folder of this run's own: what is in it at the end, and who still names it, was left behind.
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/tidings-tests-XXXXXX")
chmod 711 "$TMPDIR"
records=$(mktemp -d "$TMPDIR/records-XXXXXX")
trap 'rm -rf "$TMPDIR"' EXIT
last=tests/boundaries/test_recorded.py
failed=
export TMPDIR
BOUNDARY_RECORDS=$records "$python" -m pytest -n 2 -o faulthandler_timeout=120 --ignore "$last" || failed=yes
BOUNDARY_RECORDS=$records "$python" -m pytest "$last" || failed=yes
rm -rf "$records"
env -u TMPDIR "$python" tools/left_behind.py "$TMPDIR" || failed=yes
if [ -n "$failed" ]; then
  echo "make test: failed; the lines above say what." >&2
  exit 1
fi
