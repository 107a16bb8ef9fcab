#!/usr/bin/env bash
# Runs the benchmarks, then the queue of table runs, on a machine with an accelerator, most valuable first, within a
# time budget, of which the benchmarks take at most half.
#
#   benchmarks/accelerator.sh [BUDGET_SECONDS] [OUT]
#
# Leaves records in OUT/results (of benchmarks in OUT/results/benchmarks) and resumable runs (checkpoints, metrics,
# pictures) in OUT/runs: the same command goes on where the last one stopped, and passes over what is done. Needs no
# network: the archives are read from METALEARN_DATA_DIR (default: data), prepared arrays are kept in OUT/cache. Without
# an accelerator everything is cut to a few steps, to see that it works; such records are not results.
#
# Environment: PYTHON (default: .venv/bin/python if there, else python3), METALEARN_DATA_DIR,
# METALEARN_PEERS (what benchmarks/peers/setup.sh made, or an interpreter that has PyTorch; default:
# .venv-peers if there, else made in OUT/peers where there is an accelerator, with the PyTorch of
# PYTHON if it has one), QUEUE (a file of runs instead of experiments/queue.txt), BENCHMARKS (one of
# benchmarks instead of those below).
set -uo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
budget=${1:-600}
out=${2:-runs/accelerator}
data=${METALEARN_DATA_DIR:-data}
python=${PYTHON:-python3}
[[ -z ${PYTHON:-} && -x .venv/bin/python ]] && python=.venv/bin/python
mkdir -p "$out/runs" "$out/results" "$out/cache" "$out/logs"
export METALEARN_DATA_DIR=$data
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$out/cache/xla} JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0

platform=$("$python" -c 'import jax; print(jax.devices()[0].platform)' 2>/dev/null) || {
    echo "accelerator.sh: $python cannot import jax: install requirements.txt, or name another with PYTHON=..." >&2
    exit 2
}
short=() quick=() seeds=3
if [[ $platform == cpu ]]; then
    echo "accelerator.sh: no accelerator here, everything is cut to a few steps"
    short=(--steps=2 --valid_every=2 --valid_episodes=4 --episodes=8 --meta_batch=2)
    quick=(--tiny --rounds=1 --seconds=0)
    seeds=1
fi

# name | module and flags; what is quick and what most depends on it come first
benchmarks() {
    cat <<'RUNS'
convolution | benchmarks.convolution
meta_step-4 | benchmarks.meta_step --tasks=4
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

failed=0
attempt() { # NAME END COMMAND...: run it until END (in seconds since the start) and say how it went
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

work_through() { # END FLAGS...: every line of standard input with these flags behind python -m
    local end=$1 name command words
    shift
    while IFS='|' read -r name command; do
        name=${name// /}
        [[ -z $name || $name == \#* ]] && continue
        if ((end - SECONDS < 10)); then
            echo "accelerator.sh: the time for this is spent; run the same command to go on"
            break
        fi
        read -ra words <<<"$command"
        attempt "$name" "$end" "$python" -m "${words[@]}" "$@" </dev/null
    done
}

export METALEARN_PEERS=${METALEARN_PEERS:-.venv-peers}
if [[ ! -f $METALEARN_PEERS && ! -x $METALEARN_PEERS/bin/python ]]; then
    METALEARN_PEERS=$PWD/$out/peers
    [[ $out == /* ]] && METALEARN_PEERS=$out/peers
    if [[ $platform != cpu && ! -f $METALEARN_PEERS/not-installed.txt ]]; then
        lender=()
        "$python" -c 'import torch' 2>/dev/null && lender=(env "PYTHON=$python")
        attempt peers $((budget / 4)) "${lender[@]}" benchmarks/peers/setup.sh "$METALEARN_PEERS"
    fi
fi
work_through $((budget / 2)) "${quick[@]}" --results_dir="$out/results/benchmarks" \
    < <(if [[ -n ${BENCHMARKS:-} ]]; then cat -- "$BENCHMARKS"; else benchmarks; fi)
"$python" -m experiments.reproduce --table=all --seeds=$seeds ${QUEUE:+--queue="$QUEUE"} --more="${short[*]}" \
    --budget="$((budget > SECONDS ? budget - SECONDS : 0))" --data_dir="$data" --cache_dir="$out/cache" \
    --runs_dir="$out/runs" --results_dir="$out/results" || failed=1
exit "$failed"
