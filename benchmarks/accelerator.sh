#!/usr/bin/env bash
# Runs the queue of table runs on a machine with an accelerator, most valuable first, within a time budget.
#
#   benchmarks/accelerator.sh [BUDGET_SECONDS] [OUT]
#
# Leaves records in OUT/results and resumable runs (checkpoints, metrics, pictures) in OUT/runs: the same command goes
# on where the last one stopped, and passes over what is done. Needs no network: the archives are read from
# METALEARN_DATA_DIR (default: data), prepared arrays are kept in OUT/cache. Without an accelerator every run is cut to a
# few steps, to see that it works; such records are not results.
#
# Environment: PYTHON (default: .venv/bin/python if there, else python3), METALEARN_DATA_DIR, QUEUE (a file of runs
# instead of the one below).
set -uo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
budget=${1:-600}
out=${2:-runs/accelerator}
data=${METALEARN_DATA_DIR:-data}
python=${PYTHON:-python3}
[[ -z ${PYTHON:-} && -x .venv/bin/python ]] && python=.venv/bin/python
mkdir -p "$out/runs" "$out/results" "$out/cache" "$out/logs"
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$out/cache/xla} JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0

platform=$("$python" -c 'import jax; print(jax.devices()[0].platform)' 2>/dev/null) || {
    echo "accelerator.sh: $python cannot import jax: install requirements.txt, or name another with PYTHON=..." >&2
    exit 2
}
short=()
if [[ $platform == cpu ]]; then
    echo "accelerator.sh: no accelerator here, every run is cut to a few steps"
    short=(--steps=2 --valid_every=2 --valid_episodes=4 --episodes=8 --meta_batch=2)
fi

# name | module and flags; most valuable first
queue() {
    cat <<'RUNS'
maml-cifar_fs-1s | experiments.maml --dataset=cifar_fs --shots=1
maml-cifar_fs-5s | experiments.maml --dataset=cifar_fs --shots=5
protonet-cifar_fs-5s | experiments.protonet --dataset=cifar_fs --shots=5
protonet-cifar_fs-1s | experiments.protonet --dataset=cifar_fs --shots=1
rfs-cifar_fs-5s | experiments.finetune --method=rfs --dataset=cifar_fs --shots=5
maml-omniglot-1s | experiments.maml --dataset=omniglot --shots=1
protonet-omniglot-1s | experiments.protonet --dataset=omniglot --shots=1
baseline-cifar_fs-5s | experiments.finetune --method=baseline --dataset=cifar_fs --shots=5
baseline++-cifar_fs-5s | experiments.finetune --method=baseline++ --dataset=cifar_fs --shots=5
maml-omniglot-5s | experiments.maml --dataset=omniglot --shots=5
anil-cifar_fs-1s | experiments.maml --method=anil --dataset=cifar_fs --shots=1
fomaml-cifar_fs-1s | experiments.maml --method=fomaml --dataset=cifar_fs --shots=1
boil-cifar_fs-1s | experiments.maml --method=boil --dataset=cifar_fs --shots=1
RUNS
}

failed=0
while IFS='|' read -r name command; do
    name=${name// /}
    [[ -z $name || $name == \#* ]] && continue
    left=$((budget - SECONDS))
    if ((left < 10)); then
        echo "accelerator.sh: budget of $budget s spent; run the same command to go on"
        break
    fi
    read -ra words <<<"$command"
    start=$SECONDS
    # SIGTERM saves and exits with 143: a run that outlasts the budget is resumed by the next call.
    timeout --signal=TERM --kill-after=60 "$left" "$python" -m "${words[@]}" "${short[@]}" --data_dir="$data" \
        --cache_dir="$out/cache" --workdir="$out/runs/$name" --record --results_dir="$out/results" \
        >>"$out/logs/$name.log" 2>&1
    status=$?
    case $status in
        0) state=done ;;
        124 | 137 | 143) state="stopped by the budget, resumable" ;;
        *) state="failed with status $status, see $out/logs/$name.log" failed=1 ;;
    esac
    echo "$name: $state ($((SECONDS - start)) s)"
done < <(if [[ -n ${QUEUE:-} ]]; then cat -- "$QUEUE"; else queue; fi)
exit "$failed"
