#!/bin/sh
# Brings the catalogues up to date with the pages: new sentences come in without words, those that are gone go.
# Usage: translations.sh PYTHON [TEMPLATE]. With TEMPLATE, only writes to it all that there is to translate.
set -eu
python=$1
folder=src/tidings/web/translations
if [ $# -gt 1 ]; then
  template=$2
else
  template=$(mktemp)
  trap 'rm -f "$template"' EXIT
fi
"$python" -m babel.messages.frontend -q extract -F tools/babel.cfg -k told -k ngettext:1,2 --no-location --sort-output --omit-header -o "$template" src/tidings/web
"$python" tools/refusal_sentences.py "$template"
if [ $# -gt 1 ]; then
  exit
fi
for catalogue in "$folder"/*.po; do
  "$python" -m babel.messages.frontend -q update -i "$template" -o "$catalogue" -l "$(basename "$catalogue" .po)" \
    --ignore-obsolete --no-fuzzy-matching --ignore-pot-creation-date --no-wrap
done
