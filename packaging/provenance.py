#!/usr/bin/env python3
"""Prints where the files of a release come from: an in-toto statement with a SLSA provenance (v1), unsigned.

    provenance.py FOLDER

The subjects are the files of the folder's SHA256SUMS. release.sh calls it, with its variables in the environment.
"""

import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import sys


def output(*command):
    return subprocess.check_output(command, text=True).strip()


def version_of(*command):
    return output(*command).splitlines()[0]


def main():
    folder = pathlib.Path(sys.argv[1])
    rows = [line.split(maxsplit=1) for line in (folder / "SHA256SUMS").read_text().splitlines()]
    commit = output("git", "rev-parse", "HEAD")
    source = {"digest": {"gitCommit": commit}}
    if uri := os.environ.get("SOURCE_URI"):
        source["uri"] = f"git+{uri}@{commit}"
    lock = hashlib.sha256(pathlib.Path("Cargo.lock").read_bytes()).hexdigest()
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name.lstrip("*"), "digest": {"sha256": digest}} for digest, name in rows],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                # packaging/release.sh of the source is the description of this type.
                "buildType": "urn:serin:build:make-release:v1",
                "externalParameters": {
                    "source": source,
                    "command": "make release",
                    "targets": os.environ["TARGETS"].split(),
                    "profile": os.environ["PROFILE"],
                },
                "internalParameters": {
                    "filesDifferFromCommit": bool(output("git", "status", "--porcelain")),
                    "sourceDateEpoch": int(os.environ["SOURCE_DATE_EPOCH"]),
                    "toolchain": {
                        "rustc": output("rustc", "-vV").splitlines(),
                        "cargo": version_of("cargo", "--version"),
                        "cc": version_of("cc", "--version"),
                        "ld": version_of("ld", "--version"),
                        "libc": version_of("ldd", "--version"),
                        "cargo-deb": version_of("cargo-deb", "--version"),
                        "cargo-cyclonedx": version_of("cargo-cyclonedx", "cyclonedx", "--version"),
                    },
                },
                "resolvedDependencies": [source, {"name": "Cargo.lock", "digest": {"sha256": lock}}],
            },
            "runDetails": {
                "builder": {"id": os.environ.get("BUILDER_ID", "urn:serin:builder:by-hand")},
                "metadata": {
                    "startedOn": os.environ["BEGAN"],
                    "finishedOn": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                },
            },
        },
    }
    print(json.dumps(statement, indent=1))


if __name__ == "__main__":
    main()
