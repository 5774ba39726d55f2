#!/bin/sh
# Runs every test: in three processes, since they wait as much as they work; then what judges the records of the whole
# run; at last, whether anything is left.
# Arguments go to pytest alone.
set -u
python=$1
shift
if [ $# -gt 0 ]; then
  exec "$python" -m pytest "$@"
fi
sh "$(dirname "$0")/chromium.sh"
# A folder of this run's own: what is in it at the end, and who still names it, was left behind.
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/tidings-tests-XXXXXX")
chmod 711 "$TMPDIR"
records=$(mktemp -d "$TMPDIR/records-XXXXXX")
# A run starts Python a hundred times: each module is compiled once, also where the shell says not to, and not into
# the source. A module is kept under its own path there, so that those of this run's folder go with it.
unset PYTHONDONTWRITEBYTECODE
PYTHONPYCACHEPREFIX=$(cd "$(dirname "$python")/.." && pwd)/pycache
export PYTHONPYCACHEPREFIX
trap 'rm -rf "$TMPDIR" "$PYTHONPYCACHEPREFIX$TMPDIR"' EXIT
last=tests/boundaries/test_recorded.py
failed=
export TMPDIR
BOUNDARY_RECORDS=$records "$python" -m pytest -n 3 --no-loadscope-reorder -o faulthandler_timeout=120 --ignore "$last" || failed=yes
BOUNDARY_RECORDS=$records "$python" -m pytest "$last" || failed=yes
rm -rf "$records"
env -u TMPDIR "$python" tools/left_behind.py "$TMPDIR" || failed=yes
if [ -n "$failed" ]; then
  echo "make test: failed; the lines above say what." >&2
  exit 1
fi
