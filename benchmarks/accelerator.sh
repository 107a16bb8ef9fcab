#!/usr/bin/env bash
# Trains and times what matters most on a machine with an accelerator, within a time budget:
#
#   benchmarks/accelerator.sh [BUDGET_SECONDS] [OUT]        default: 600 runs/accelerator
#
# 1. Are convolutions right here (benchmarks/lease/sanity.py)? If not, nothing else is run.
# 2. One race with PyTorch, in at most a quarter of the time.
# 3. The full recipes of experiments/queue.txt, most valuable first, by three seeds trained together
#    in tf32 and validated every 5,000 steps; further tests follow each seed. A flag that a line
#    gives stays as it is.
# 4. The other benchmarks, with what time is left.
# 5. OUT/archive.tgz.00 and so on: records, runs and logs, in pieces of at most 16 MiB.
#
# Leaves records in OUT/results (of benchmarks in OUT/results/benchmarks), resumable runs (checkpoints,
# metrics, pictures) in OUT/runs, logs in OUT/logs: the same command continues where the last one
# stopped, passes over what is done, and makes the archive anew. Needs no network: the archives of
# images are read from METALEARN_DATA_DIR (default: data), prepared arrays are kept in OUT/cache.
# Without an accelerator everything is cut to a few steps by one seed, to see that it works; such
# records are not results.
#
# Environment: PYTHON (default: .venv/bin/python if there, else python3), METALEARN_DATA_DIR,
# METALEARN_PEERS (what benchmarks/peers/setup.sh made, or an interpreter that has PyTorch; default:
# .venv-peers if there, else made in OUT/peers where there is an accelerator, with the PyTorch of
# PYTHON if it has one), QUEUE (a file of runs instead of experiments/queue.txt), BENCHMARKS (one of
# benchmarks instead of those below; the first is the race), PIECE (size of a piece, default 16M).
set -uo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
budget=${1:-600}
out=${2:-runs/accelerator}
data=${METALEARN_DATA_DIR:-data}
python=${PYTHON:-python3}
[[ -z ${PYTHON:-} && -x .venv/bin/python ]] && python=.venv/bin/python
mkdir -p "$out/runs" "$out/results" "$out/cache" "$out/logs"
export METALEARN_DATA_DIR=$data
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$out/cache/xla}
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0

platform=$("$python" -c 'import jax; print(jax.devices()[0].platform)' 2>/dev/null) || {
    echo "accelerator.sh: $python cannot import jax: install requirements.txt, or name another" \
        "with PYTHON=..." >&2
    exit 2
}
more="--seeds=3 --precision=tf32 --valid_every=5000" instead="" quick=()
if [[ $platform == cpu ]]; then
    echo "accelerator.sh: no accelerator here, everything is cut to a few steps"
    more=""
    instead="--steps=2 --valid_every=2 --valid_episodes=4 --episodes=8 --meta_batch=2 --draws=1"
    quick=(--tiny --rounds=1 --seconds=0)
fi

packing=$((budget / 20 < 120 ? budget / 20 : 120)) # seconds kept for the archive
end=$((budget - packing))

# name | module and flags; the race first, then what is quick and what most depends on
benchmarks() {
    cat <<'RUNS'
meta_step-4 | benchmarks.meta_step --tasks=4
convolution | benchmarks.convolution
protonet_step | benchmarks.protonet_step
meta_step-32 | benchmarks.meta_step --tasks=32
startup | benchmarks.startup --rounds=3
evaluation | benchmarks.evaluation --rounds=3
meta_step-128 | benchmarks.meta_step --tasks=128 --rounds=3 --peers=torch-loop,torch-func
meta_step-512 | benchmarks.meta_step --tasks=512 --rounds=3 --peers=torch-loop,torch-func
memory | benchmarks.memory
scaling | benchmarks.scaling
precision | benchmarks.precision
RUNS
}

lines() { # without comments and empty lines; cut to a few steps, each program once
    if [[ -n ${BENCHMARKS:-} ]]; then cat -- "$BENCHMARKS"; else benchmarks; fi |
        grep -vE '^[[:space:]]*(#|$)' |
        if [[ $platform == cpu ]]; then awk -F '[| ]+' '!seen[$2]++'; else cat; fi
}

failed=0
attempt() { # NAME END COMMAND...: run it until END (in seconds since the start), say how it went
    local name=$1 left=$(($2 - SECONDS)) start=$SECONDS state
    shift 2
    ((left > 0)) || left=1
    # SIGTERM saves and exits with 143: what outlasts the budget is resumed by the next call.
    timeout --signal=TERM --kill-after=60 "$left" "$@" >>"$out/logs/$name.log" 2>&1
    case $? in
        0) state=done ;;
        124 | 137 | 143) state="stopped by the budget, resumable" ;;
        *) state="failed, see $out/logs/$name.log" failed=1 ;;
    esac
    echo "$name: $state ($((SECONDS - start)) s)"
}

work_through() { # END: every benchmark of standard input
    local end=$1 name command words
    while IFS='|' read -r name command; do
        name=${name// /}
        if ((end - SECONDS < 10)); then
            echo "accelerator.sh: the time for benchmarks is spent; run the same command to continue"
            break
        fi
        read -ra words <<<"$command"
        attempt "$name" "$end" "$python" -m "${words[@]}" "${quick[@]}" \
            --results_dir="$out/results/benchmarks" </dev/null
    done
}

check_convolutions() {
    local log=$out/logs/sanity.log
    timeout 300 "$python" -m benchmarks.lease.sanity >"$log" 2>&1 && return
    if grep -q WRONG "$log"; then
        echo "accelerator.sh: convolutions are WRONG on this device, see $log: nothing is run" >&2
    else
        echo "accelerator.sh: convolutions could not be tried, see $log: nothing is run" >&2
    fi
    exit 3
}

find_peers() { # PyTorch and the others, where a network or PYTHON has them
    local lender=()
    export METALEARN_PEERS=${METALEARN_PEERS:-.venv-peers}
    [[ -f $METALEARN_PEERS || -x $METALEARN_PEERS/bin/python ]] && return
    METALEARN_PEERS=$PWD/$out/peers
    [[ $out == /* ]] && METALEARN_PEERS=$out/peers
    [[ $platform == cpu || -f $METALEARN_PEERS/not-installed.txt ]] && return
    "$python" -c 'import torch' 2>/dev/null && lender=(env "PYTHON=$python")
    attempt peers $((budget / 8)) "${lender[@]}" benchmarks/peers/setup.sh "$METALEARN_PEERS"
}

pack() { # gzip's first level: weights hardly shrink, and the time is short
    rm -f -- "$out"/archive.tgz.*
    tar -C "$out" --exclude='*.orbax-checkpoint-tmp*' -cf - results runs logs | gzip -1 |
        split -b "${PIECE:-16M}" -d - "$out/archive.tgz." || failed=1
    echo "accelerator.sh: $(find "$out" -maxdepth 1 -name 'archive.tgz.*' | wc -l) pieces of an archive;" \
        "cat $out/archive.tgz.* | tar -xz joins and unpacks them"
}

check_convolutions
find_peers
work_through $((budget / 4)) < <(lines | head -n 1)
"$python" -m experiments.reproduce --table=all ${QUEUE:+--queue="$QUEUE"} --more="$more" \
    --instead="$instead" --budget="$((end > SECONDS ? end - SECONDS : 0))" --data_dir="$data" \
    --cache_dir="$out/cache" --runs_dir="$out/runs" --results_dir="$out/results" || failed=1
work_through "$end" < <(lines | tail -n +2)
pack
exit "$failed"
