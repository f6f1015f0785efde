#!/bin/bash
# Runs fuzz targets one after the other, each for FUZZ_SECS seconds, from the inputs that are kept in the repository. What is found
# new stays in target/fuzz-corpus. Without names: all targets. Prints what each has done, and how to repeat what has failed.
# `fuzz/run.sh --keep NAME…` replaces the kept inputs of these targets by the fewest that reach the same code.
set -uo pipefail
cd "$(dirname "$0")/.."
secs=${FUZZ_SECS:-60} build=target/fuzz-build found=target/fuzz-corpus

cargo +nightly --version >/dev/null 2>&1 || {
    echo "fuzzing needs a nightly toolchain, and there is none: rustup toolchain install nightly --profile minimal" >&2
    exit 1
}
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked || exit 1

keep=
if [ "${1:-}" = --keep ]; then keep=yes; shift; fi
targets=("$@")
[ ${#targets[@]} -gt 0 ] || for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done

cargo +nightly fuzz build --target-dir "$PWD/$build" || exit 1

# An input's longest length, and the words that help: what is longer is slower and reaches nothing new.
options() {
    case $1 in
    request | answer) echo -max_len=70000 -dict=fuzz/dictionaries/http.dict ;;
    body | http1) echo -max_len=8000 -dict=fuzz/dictionaries/http.dict ;;
    http2) echo -max_len=4000 ;;
    identify) echo -max_len=4000 -dict=fuzz/dictionaries/json.dict ;;
    config) echo -max_len=20000 -dict=fuzz/dictionaries/toml.dict ;;
    history) echo -max_len=70000 ;;
    link) echo -max_len=6000 ;;
    *) echo -max_len=4000 ;;
    esac
}

export ASAN_OPTIONS=detect_odr_violation=0
failed=()
[ "$keep" ] || printf '%-14s %12s %8s %10s %8s\n' target inputs seconds coverage findings
for target in "${targets[@]}"; do
    program=$build/x86_64-unknown-linux-gnu/release/$target log=target/fuzz-$target.log
    mkdir -p "$found/$target" "fuzz/artifacts/$target" "fuzz/corpus/$target"
    if [ "$keep" ]; then
        rm -rf "$found/least-$target" && mkdir "$found/least-$target"
        # shellcheck disable=SC2046
        "$program" -set_cover_merge=1 -detect_leaks=0 $(options "$target") "$found/least-$target" "fuzz/corpus/$target" "$found/$target" \
            >"$log" 2>&1 || { tail -5 "$log"; exit 1; }
        # Those with a name that is no digest are examples, and stay. Of the others the shortest, within the limits of src/fuzzing/replay.rs.
        find "fuzz/corpus/$target" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
        cat "fuzz/corpus/$target"/* | wc -c >"$found/bytes"
        find "fuzz/corpus/$target" -type f | wc -l >"$found/files"
        find "fuzz/corpus/$target" -type f -exec sha1sum {} + | cut -d' ' -f1 >"$found/examples"
        find "$found/least-$target" -type f -printf '%s %f\n' | sort -n | grep -vFf "$found/examples" |
            awk -v files="$(<"$found/files")" -v bytes="$(<"$found/bytes")" '{ bytes += $1; if (++files <= 300 && bytes <= 240000) print $2 }' |
            while read -r name; do cp "$found/least-$target/$name" "fuzz/corpus/$target/"; done
        continue
    fi
    began=$SECONDS
    # shellcheck disable=SC2046
    "$program" -max_total_time="$secs" -detect_leaks=0 -timeout=20 -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target/" $(options "$target") \
        "$found/$target" "fuzz/corpus/$target" >"$log" 2>&1
    code=$?
    inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(grep -ao 'cov: [0-9]*' "$log" | tail -1 | cut -d' ' -f2)
    printf '%-14s %12s %8s %10s %8s\n' "$target" "${inputs:-?}" $((SECONDS - began)) "${coverage:-?}" "$((code != 0))"
    [ $code -eq 0 ] || failed+=("$target")
done

for target in "${failed[@]}"; do
    log=target/fuzz-$target.log
    echo
    echo "$target has failed; all of it is in $log:"
    grep -a -m1 -A2 'panicked at\|ERROR: ' "$log"
    input=$(grep -ao "fuzz/artifacts/$target/[a-z]*-[0-9a-f]*" "$log" | tail -1)
    echo "again:  $build/x86_64-unknown-linux-gnu/release/$target $input"
    echo "keep:   cp $input fuzz/corpus/$target/   (then \`cargo test fuzzing\` fails until it is mended)"
done
exit $((${#failed[@]} > 0))
