#!/usr/bin/env bash
# Call 1: benchmarks/lease/one.sh [SECONDS]. What needs no archive: whether the machine computes
# rightly, the race with PyTorch, and compiling what call 3 runs, on random images.
set -uo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
source benchmarks/lease/common.sh
end=${1:-225}
trap returned EXIT

nvidia-smi -L 2>/dev/null
timeout 60 "$python" -m benchmarks.lease.sanity 2>&1 | grep -v Warning
say sanity

tiny=()
[[ -n ${TINY:-} ]] && tiny=(--tiny --rounds=1 --seconds=0)
race=(benchmarks.meta_step --tasks=4 --shots=1 --rounds=3 --seconds=1)
race+=(--peers=torch-loop,torch-func,learn2learn,higher "${tiny[@]}")

# Compiled by all cores at once; gradients are compared in float64 here, once for both precisions.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
compile_until=$((end > 120 ? end - 90 : end))
for precision in float32 tf32; do
    timeout "$compile_until" "$python" -m "${race[@]}" --rounds=1 --steps=1 \
        --precision="$precision" --results_dir="$lease/ahead" &>"$lease/logs/ahead-$precision.log" &
done
short=(--steps=300 --valid_every=300 --valid_episodes=64 --episodes=64)
timeout "$compile_until" "$python" -m benchmarks.lease.ahead "${first[@]}" "${short[@]}" \
    "${more[@]}" --workdir="$lease/ahead/run" &>"$lease/logs/ahead-maml.log" &
wait
unset XLA_PYTHON_CLIENT_PREALLOCATE
say "compiled ahead"
tail -n 3 "$lease"/logs/ahead-*.log

for precision in tf32 float32; do
    left=$((end - SECONDS - 8))
    ((left > 25)) || break
    timeout --signal=TERM "$left" "$python" -m "${race[@]}" --precision="$precision" \
        --results_dir="$lease/results/benchmarks" 2>&1 | tee "$lease/logs/race-$precision.log"
    say "race in $precision"
done
