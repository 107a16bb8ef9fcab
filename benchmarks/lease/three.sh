#!/usr/bin/env bash
# Call 3: benchmarks/lease/three.sh SECONDS. Full published recipes, most valuable first; what the
# time is too short for is saved, to be continued.
set -uo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
source benchmarks/lease/common.sh
end=${1:?how many seconds there are}
trap returned EXIT

archive=$lease/carried/cifar-100-binary.tar.gz
cat "$lease"/carried/part.* >"$archive"
say "archive of $(stat -c %s "$archive") bytes"

telling='way|validation|recorded|error|tasks/s' # lines of a log
train() { # SECONDS_AT_LEAST NAME MODULE FLAGS...
    local least=$1 name=$2 left=$((end - SECONDS)) status
    shift 2
    if ((left <= least)); then
        say "$name: no time"
        return
    fi
    places=(--workdir="$lease/runs/$name" --data_dir="$lease/carried" --cache_dir="$lease/cache")
    places+=(--record --results_dir="$lease/results")
    timeout --signal=TERM --kill-after=25 "$left" "$python" -m "$@" "${more[@]}" "${places[@]}" \
        &>"$lease/logs/$name.log"
    status=$?
    say "$name: status $status"
    tr '\r' '\n' <"$lease/logs/$name.log" | grep -E "$telling" | tail -n 8
}

omniglot=(--dataset=omniglot --shots=1 --seeds=3 --precision=tf32)
train 40 cifar_fs-1 experiments.maml --dataset=cifar_fs "${first[@]}" --valid_every=5000
train 90 omniglot-1 experiments.maml "${omniglot[@]}" --valid_every=5000
five=(--dataset=cifar_fs --shots=5 --precision=tf32)
train 60 cifar_fs-5 experiments.maml "${five[@]}" --valid_every=5000
