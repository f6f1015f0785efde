#!/usr/bin/env bash
# Builds everything of a release into target/dist: for each target a tarball, for glibc a Debian package too; a list of all
# components, digests, and a statement of where the files come from. Two runs from the same commit give the same files, but for
# that statement, which has the time: packaging/reproduce.sh compares them.
#
#   TARGETS      what to build for (x86_64-unknown-linux-gnu). A musl target needs `rustup target add`, and musl-tools
#   PROFILE      cargo's profile (release); another one is for trying this script
#   ALLOW_DIRTY  1: build although files differ from the commit; the statement says so
#   SOURCE_URI   where the repository is, for the statement; BUILDER_ID: who builds, as a URI
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
export TARGETS=${TARGETS:-x86_64-unknown-linux-gnu} PROFILE=${PROFILE:-release}
# The oldest glibc that the binary may need: Debian 12, Ubuntu 22.04 and RHEL 9 have it.
glibc_most=2.34
cargo_deb=3.8.0
cargo_cyclonedx=0.5.9

if [ -n "$(git status --porcelain)" ] && [ "${ALLOW_DIRTY:-}" != 1 ]; then
    echo "files differ from the commit: commit them, or set ALLOW_DIRTY=1 to try" >&2
    exit 1
fi
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
BEGAN=$(date -u +%FT%TZ)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export BEGAN SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

tools=$root/target/tools
export PATH=$tools/bin:$PATH
tool() {
    case "$("$tools/bin/$1" "${@:3}" --version 2>/dev/null)" in
        *"$2"*) ;;
        *) CARGO_TARGET_DIR=$tools/build cargo install --quiet --locked --root "$tools" "$1@$2" ;;
    esac
}
tool cargo-deb "$cargo_deb"
tool cargo-cyclonedx "$cargo_cyclonedx" cyclonedx

# No path of this machine comes into the files, neither from Rust nor from the C of SQLite and ring.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
maps=("$root=/serin" "$cargo_home=/cargo")
export RUSTFLAGS="${maps[*]/#/--remap-path-prefix=}" CFLAGS="${maps[*]/#/-ffile-prefix-map=}"
export CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$root/target/dist-build
export CC_x86_64_unknown_linux_musl=${CC_x86_64_unknown_linux_musl:-musl-gcc}

dist=$root/target/dist
rm -rf "$dist"
mkdir -p "$dist"

# Which glibc a binary needs: the highest version among its symbols.
glibc_of() {
    objdump -T "$1" | grep -oE 'GLIBC_[0-9.]+' | sed 's/GLIBC_//' | sort -Vu | tail -n 1
}

# A tar with the same bytes wherever and by whomever it is made.
pack() {
    tar --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$1" -cf - "$2" | gzip -9n >"$3"
}

for target in $TARGETS; do
    cargo build --profile "$PROFILE" --locked --bin serin --target "$target"
    built=$CARGO_TARGET_DIR/$target/$PROFILE/serin
    name=serin-$version-$target
    case $target in
        *-gnu)
            needs=$(glibc_of "$built")
            if [ "$(printf '%s\n' "$needs" "$glibc_most" | sort -V | tail -n 1)" != "$glibc_most" ]; then
                echo "$target: the binary needs glibc $needs, and may need $glibc_most at most: build on an older system" >&2
                exit 1
            fi
            echo "$target: needs glibc $needs" ;;
        *) ! readelf -d "$built" | grep NEEDED || { echo "$target: the binary is not static" >&2; exit 1; } ;;
    esac

    # What the tarball has, and the package too, elsewhere.
    stage=$root/target/stage/$target
    folder=$stage/$name
    rm -rf "$stage"
    mkdir -p "$folder"/{completions,man,systemd,config,docs}
    install -m 755 "$built" "$folder/serin"
    for shell in bash:serin.bash zsh:_serin fish:serin.fish; do
        "$built" completions "${shell%:*}" >"$folder/completions/${shell#*:}"
    done
    "$built" man --out "$folder/man"
    cp LICENSE-MIT LICENSE-APACHE README.md CHANGELOG.md SECURITY.md "$folder/"
    packaging/notices.py "$target" >"$folder/THIRD-PARTY"
    cp config/serin.toml "$folder/config/"
    cp docker/systemd/*.service docker/systemd/*.socket docker/systemd/serin.toml "$folder/systemd/"
    cp docs/*.md "$folder/docs/"
    pack "$stage" "$name" "$dist/$name.tar.gz"

    packaging/sbom.sh "$target" "$dist/$name.cdx.json"

    if [[ $target == *-gnu ]]; then
        # Cargo.toml's [package.metadata.deb] names the files in target/stage/deb.
        deb=$root/target/stage/deb
        rm -rf "$deb"
        cp -r "$folder" "$deb"
        sed -i 's|/usr/local/bin/serin|/usr/bin/serin|' "$deb"/systemd/*.service
        gzip -9n "$deb"/man/*.1
        maintainer=$(sed -n 's/^maintainer = "\(.*\)"$/\1/p' Cargo.toml)
        printf 'serin (%s-1) unstable; urgency=medium\n\n  * CHANGELOG.md, beside this file, says what has changed.\n\n -- %s  %s\n' \
            "$version" "$maintainer" "$(date -R -d "@$SOURCE_DATE_EPOCH")" >"$deb/changelog"
        expat=$(sed '/^MIT License$/,/^Copyright/d; s/^$/./; s/^/ /' LICENSE-MIT | sed '1{/^ \.$/d}')
        holder=$(sed -n 's/^Copyright (c) //p' LICENSE-MIT)
        awk -v holder="$holder" -v expat="$expat" '{ sub(/@COPYRIGHT@/, holder) } /^@EXPAT@$/ { print expat; next } { print }' \
            packaging/copyright >"$deb/copyright"
        cargo deb --no-build --no-strip --no-dbgsym --no-separate-debug-symbols --quiet --locked --target "$target" --profile "$PROFILE" --output "$dist/"
    fi
done

(cd "$dist" && sha256sum -- * >SHA256SUMS)
packaging/provenance.py "$dist" >"$dist/provenance.intoto.json"
ls -l "$dist"
