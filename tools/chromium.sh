#!/bin/sh
# Sees to it that there is a browser for the pages' tests; where it may not install one, it says so, and they are skipped.
set -u
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing Chromium for the pages' tests (once; it takes a minute) ..." >&2
  log=$(mktemp)
  if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium fonts-dejavu-core fonts-noto-color-emoji; } >"$log" 2>&1; then
    rm -f "$log"
    exit 0
  fi
  tail -n 5 "$log" >&2
  rm -f "$log"
fi
echo "There is no Chromium, and it cannot be installed from here: the pages' browser tests are skipped." >&2
echo "On Debian, as root: apt-get install chromium.  Then call make test again." >&2
