#!/usr/bin/env bash
# Before the lease, on the machine with the archives: benchmarks/lease/pack.sh DATA. Makes .lease1,
# .lease2 and .lease3, one to be carried in each of three calls: a piece of the CIFAR archive each;
# Omniglot, the commit and two peers in the first. git ignores them.
#
# Environment: FIRST_MIB (of the archive in .lease1, default 43), LIMIT_MIB (of a call, default 64),
# PYTHON.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
data=${1:?the folder with the archives}
first=$((${FIRST_MIB:-43} * 2 ** 20))
limit=${LIMIT_MIB:-64}
python=${PYTHON:-python3}
archive=$data/cifar-100-binary.tar.gz

rm -rf .lease1 .lease2 .lease3
mkdir -p .lease1/site .lease2 .lease3
size=$(stat -c %s "$archive")
((first < size)) || first=$((size / 3))
half=$(((size - first + 1) / 2))
head -c "$first" "$archive" >.lease1/part.1
tail -c +$((first + 1)) "$archive" | head -c "$half" >.lease2/part.2 || true # tail is cut off
tail -c +$((first + half + 1)) "$archive" >.lease3/part.3
cat .lease?/part.? | cmp - "$archive"
for images in "$data"/images_*.zip; do
    [[ ! -f $images ]] || cp "$images" .lease1/
done
commit=$(git rev-parse --short=12 HEAD)
# As `metalearn.runtime.commit` has it.
git diff --quiet HEAD -- metalearn experiments benchmarks || commit+=+
echo "$commit" >.lease1/commit

downloads=$(mktemp -d)
trap 'rm -rf -- "$downloads"' EXIT
pip=("$python" -m pip download -q --disable-pip-version-check --no-deps -d "$downloads")
if "${pip[@]}" higher==0.2.1; then
    "$python" -m zipfile -e "$downloads"/higher*.whl .lease1/site
else
    echo "pack.sh: no higher: left out" >&2
fi
if "${pip[@]}" --no-binary learn2learn learn2learn==0.2.0; then
    l2l=learn2learn-0.2.0/learn2learn
    tar -xzf "$downloads"/learn2learn*.tar.gz -C .lease1/site --strip-components=1 \
        "$l2l"/{__init__.py,_version.py,algorithms,utils}
else
    echo "pack.sh: no learn2learn: left out" >&2
fi

tree=$(git ls-files -z | xargs -0 stat -c %s | awk '{sum += $1} END {print sum}')
for parcel in .lease1 .lease2 .lease3; do
    bytes=$(find "$parcel" -type f -printf '%s\n' | awk '{sum += $1} END {print sum}')
    mebibytes=$(((bytes + tree) / 2 ** 20))
    echo "$parcel: $mebibytes MiB with the working tree, of $limit"
    ((mebibytes < limit)) || echo "pack.sh: $parcel is too large: change FIRST_MIB" >&2
done
