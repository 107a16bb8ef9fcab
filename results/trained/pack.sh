#!/usr/bin/env bash
# Makes an archive of a run's folder, to lie beside this file: what a test, another training or going on needs.
#
#   results/trained/pack.sh RUN NAME      RUN/ becomes results/trained/NAME.tar.gz, which unpacks to NAME/
set -euo pipefail

run=${1:?the folder of a run}
name=${2:?the name of the archive}
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT

mkdir -- "$folder/$name"
cp -- "$run/config.json" "$run/metrics.jsonl" "$folder/$name"
cp -r -- "$run/checkpoints" "$folder/$name"
find "$run" -maxdepth 1 -name 'result-*' -exec cp -- {} "$folder/$name" \;
for kind in latest best; do # the newest of either kind: older ones are in reserve
    find "$folder/$name/checkpoints/$kind" -mindepth 1 -maxdepth 1 -name '[0-9]*' | sort -V | head -n -1 |
        while IFS= read -r old; do rm -r -- "$old"; done
done
# The runs that it began from are unpacked beside it
sed -i -E 's#("(init_from|teacher)": ")/[^"]*/#\1runs/#' "$folder/$name/config.json"
# Orbax notes where it wrote
find "$folder/$name" -name commit_success.txt -exec sed -i "s|$(cd -- "$run" && pwd -P)|$name|" {} +
tar --sort=name --owner=0 --group=0 --numeric-owner -czf "$here/$name.tar.gz" -C "$folder" "$name"
ls -l -- "$here/$name.tar.gz"
