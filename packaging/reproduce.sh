#!/usr/bin/env bash
# Builds the release of a commit (HEAD) twice, from clones in folders of different names and with nothing built before, and compares the
# digests. Takes twice the time of `make release`. PROFILE and TARGETS are as in release.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
commit=$(git rev-parse "${1:-HEAD}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for folder in "$work/one" "$work/another/with a longer name"; do
    folder=${folder// /-}
    git clone --quiet --no-local "$root" "$folder"
    git -C "$folder" checkout --quiet "$commit"
    # The tools are no part of what is compared.
    mkdir -p "$folder/target"
    [ ! -d "$root/target/tools" ] || cp -r "$root/target/tools" "$folder/target/tools"
    "$folder/packaging/release.sh" >"$work/log" 2>&1 || { tail -n 50 "$work/log" >&2; exit 1; }
    results+=("$folder/target/dist")
done
if diff "${results[0]}/SHA256SUMS" "${results[1]}/SHA256SUMS"; then
    cat "${results[0]}/SHA256SUMS"
    echo "both builds of $commit are equal"
else
    echo "the builds of $commit differ" >&2
    [ -z "${KEEP:-}" ] || { mkdir -p "$KEEP"; cp -r "${results[0]}" "$KEEP/one"; cp -r "${results[1]}" "$KEEP/another"; }
    exit 1
fi
