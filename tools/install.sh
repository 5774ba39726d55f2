#!/bin/sh
# Makes a virtual environment without ensurepip (Debian leaves it out) and installs locked packages into it.
set -eu
venv=$1
requirements=$2
python=${PYTHON:-python3}
system=/usr/bin/python3

say() { printf '%s\n' "$*" >&2; }
is_new() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
is_as_new() {
  version='import sys; print(*sys.version_info[:2])'
  [ "$("$1" -c "$version" 2>/dev/null)" = "$("$2" -c "$version")" ]
}
# Distributions optimise theirs, and do not say so there.
is_optimised() {
  "$1" -c 'import sys, sysconfig
built = sysconfig.get_config_var("CONFIG_ARGS") or ""
sys.exit(not (sys.base_prefix == "/usr" or "--enable-optimizations" in built))' 2>/dev/null
}
has_pip() { "$1" -m pip --version >/dev/null 2>&1 || "$1" -m ensurepip --version >/dev/null 2>&1; }

if [ -z "${PYTHON:-}" ] && [ ! -x "$venv/bin/python" ] && is_new "$python" && ! is_optimised "$python"; then
  if is_as_new "$system" "$python" && is_optimised "$system" && has_pip "$system"; then
    say "Taking $system: $(command -v "$python") was built without optimisations, and Tidings takes an eighth"
    say "more time with it.  make PYTHON=$python ... takes it all the same."
    python=$system
  fi
fi
if ! is_new "$python"; then
  say "Tidings needs Python 3.11 or newer; '$python' is $("$python" --version 2>&1 || echo missing)."
  say "On Debian 12: apt-get install python3 python3-pip.  Elsewhere: make PYTHON=/path/to/python3.11 ..."
  exit 1
fi
[ -x "$venv/bin/python" ] || "$python" -m venv --without-pip "$venv"

if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  pip() { "$venv/bin/python" -m pip "$@"; }
elif "$python" -m pip --version >/dev/null 2>&1; then
  pip() { "$python" -m pip --python "$venv/bin/python" "$@"; }
elif "$python" -m ensurepip --version >/dev/null 2>&1; then
  "$venv/bin/python" -m ensurepip >/dev/null
  pip() { "$venv/bin/python" -m pip "$@"; }
else
  say "Neither pip nor ensurepip is there for '$python'."
  say "On Debian 12: apt-get install python3-pip, then call make again."
  exit 1
fi

say "Installing $requirements into $venv (the first time takes a minute) ..."
pip install -q --disable-pip-version-check --require-hashes -r "$requirements"
pip install -q --disable-pip-version-check --no-deps --no-build-isolation --editable .
