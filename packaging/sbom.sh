#!/usr/bin/env bash
# Writes the list of a binary's components as CycloneDX JSON: the crates that are in it, and SQLite, whose C code one of them brings.
#   sbom.sh TARGET FILE
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1 file=$2
# It writes beside Cargo.toml, wherever it is called.
trap 'rm -f sbom-of-release.json' EXIT
cargo cyclonedx -qq --format json --spec-version 1.5 --no-build-deps --target "$target" --override-filename sbom-of-release
python3 - sbom-of-release.json "$PWD" >"$file" <<'PYTHON'
import json, pathlib, re, subprocess, sys

text = pathlib.Path(sys.argv[1]).read_text()
# The crate itself is named by its folder, which says nothing elsewhere.
text = text.replace(f"path+file://{sys.argv[2]}#", "")
document = json.loads(re.sub(r"\?download_url=file:[^\"]*", "", text))
document.pop("serialNumber", None)

metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--locked", "--format-version", "1"]))
sys_crate = next(package for package in metadata["packages"] if package["name"] == "libsqlite3-sys")
header = pathlib.Path(sys_crate["manifest_path"]).parent / "sqlite3" / "sqlite3.h"
sqlite = re.search(r'#define SQLITE_VERSION +"([^"]+)"', header.read_text()).group(1)
reference = f"pkg:generic/sqlite@{sqlite}"
document["components"].append({
    "type": "library",
    "bom-ref": reference,
    "name": "sqlite",
    "version": sqlite,
    "description": "Compiled into libsqlite3-sys",
    "scope": "required",
    "licenses": [{"license": {"name": "Public domain"}}],
    "purl": reference,
    "externalReferences": [{"type": "website", "url": "https://www.sqlite.org/"}],
})
document["dependencies"].append({"ref": reference})
for dependency in document["dependencies"]:
    if "#libsqlite3-sys@" in dependency["ref"]:
        dependency.setdefault("dependsOn", []).append(reference)
print(json.dumps(document, indent=1))
PYTHON
