#!/usr/bin/env bash
# Gets what the black-box tests need, and only what is missing: Python with venv, Node with npm, Prometheus (for
# promtool too), Chromium, Pebble (an ACME authority for tests), systemd (to verify units), then the bots' packages, all of
# pinned versions. Arguments are further programs that a test needs.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
venv=${SERIN_VENV:-$root/target/e2e-venv}

declare -A package=([python3]=python3 [node]=nodejs [npm]=npm [prometheus]=prometheus [promtool]=prometheus [systemd-analyze]=systemd [systemd-nspawn]=systemd-container [chromium]=chromium [nginx]=nginx-light [haproxy]=haproxy)
missing=()
for program in python3 openssl node npm prometheus promtool systemd-analyze chromium pebble "$@"; do
    command -v "$program" >/dev/null || missing+=("${package[$program]:-$program}")
done
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)

if ((${#missing[@]})); then
    command -v apt-get >/dev/null || { echo "these are missing, and there is no apt-get to install them: ${missing[*]}" >&2; exit 1; }
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# A stamp with the pins inside: whatever changes them makes the environment anew.
pins=$(cat requirements.txt)
if [ "$(cat "$venv/pins" 2>/dev/null)" != "$pins" ]; then
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check -r requirements.txt
    printf '%s' "$pins" >"$venv/pins"
fi
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --silent --no-audit --no-fund
fi
