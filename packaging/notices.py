#!/usr/bin/env python3
"""Prints the licences of the crates that are in the binary, with the texts that they ask to pass on.

    notices.py TARGET

Texts that are the same stand once. A crate that brings no text is listed with its licence's name.
"""

import json
import pathlib
import subprocess
import sys

NAMES = ("license", "licence", "copying", "copyright", "notice", "unlicense")


def in_the_binary(metadata):
    """The packages that the binary is linked from: no build scripts' and no tests' dependencies."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    found, left = set(), [root]
    while left:
        node = left.pop()
        for dependency in nodes[node]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in found:
                found.add(dependency["pkg"])
                left.append(dependency["pkg"])
    packages = [package for package in metadata["packages"] if package["id"] in found]
    return sorted(packages, key=lambda package: (package["name"], package["version"]))


def texts(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name.lower().startswith(NAMES))
    for path in files:
        yield path.read_text(encoding="utf-8", errors="replace").strip().replace("\r\n", "\n")


def main():
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", sys.argv[1]]
    metadata = json.loads(subprocess.check_output(command))
    packages = in_the_binary(metadata)
    crates_of = {}
    print("serin contains these crates, each under its licence; the texts follow. SQLite, in libsqlite3-sys, is in the public domain.\n")
    for package in packages:
        name = f"{package['name']} {package['version']}"
        print(f"{name}: {package['license']}")
        for text in texts(package):
            crates_of.setdefault(text, []).append(name)
    for text, crates in crates_of.items():
        print(f"\n{'=' * 80}\n{', '.join(dict.fromkeys(crates))}\n{'=' * 80}\n\n{text}")


if __name__ == "__main__":
    main()
