#!/usr/bin/env bash
# Call 2: benchmarks/lease/two.sh. Keeps what this call carried.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
source benchmarks/lease/common.sh
ls -l "$lease/carried"
