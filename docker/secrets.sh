#!/bin/sh
# Makes the secrets of docker/compose.yml, each once: docker/secrets.sh [FOLDER]
#
# The folder is for its owner alone. The files in it can be read by all, since the containers see the files, not the
# folder, and run as users that this machine does not know.
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
for name in operate read slack grafana; do
    if [ ! -s "$folder/$name" ]; then
        od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name"
        chmod 644 "$folder/$name"
    fi
done
