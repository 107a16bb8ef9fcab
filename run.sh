#!/usr/bin/env bash
# Sets up .venv beside this file (once) and runs a program of this project in it.
#
#   ./run.sh                                            the main job: MAML on glyphs, into runs/glyphs-maml
#   ./run.sh --seed=1 --steps=500                       the same job with other flags, into a folder of its own
#   ./run.sh experiments.protonet --dataset=omniglot    any program
#   ./run.sh test [pytest arguments]                    the tests
#   ./run.sh setup                                      only sets up
#
# Needs Python 3.11 to 3.14. Environment:
#   PYTHON         interpreter to make .venv with, tried before those on PATH
#   METALEARN_JAX  JAX for an accelerator, such as "jax[cuda13]" or "jax[tpu]", installed with the rest and remembered
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
venv=$here/.venv
python=$venv/bin/python
stamp=$venv/requirements.done # what was installed, written last: an interrupted installation leaves none
supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'

say() { printf 'run.sh: %s\n' "$*" >&2; }

die() { # STATUS MESSAGE...
    local status=$1
    shift
    say "$@"
    exit "$status"
}

works() { # INTERPRETER: does it start (a shim on PATH may not), is it 3.11 to 3.14, can it make environments?
    "$1" -c "import ensurepip, venv; $supported" >/dev/null 2>&1 </dev/null
}

find_python() { # prints the first interpreter that works, looking behind broken ones of the same name
    local name candidate
    for name in ${PYTHON:+"$PYTHON"} python3.12 python3.11 python3.13 python3.14 python3 python; do
        while IFS= read -r candidate; do
            if works "$candidate"; then
                printf '%s\n' "$candidate"
                return
            fi
        done < <(type -aP -- "$name")
    done
    die 2 "needs Python 3.11 to 3.14 with the venv and ensurepip modules; none on PATH works (name one with PYTHON=...)"
}

jax_wanted() { # the JAX asked for now, else the one that .venv was made with
    if [[ -n ${METALEARN_JAX:-} ]]; then
        printf '%s\n' "$METALEARN_JAX"
    elif [[ -f $stamp ]]; then
        sed -n '1s/^# jax: //p' "$stamp"
    fi
}

wanted() { printf '# jax: %s\n%s\n' "$(jax_wanted)" "$(<"$here/requirements.txt")"; }

ready() {
    [[ -f $stamp ]] && [[ $(<"$stamp") == "$(wanted)" ]] && "$python" -c "$supported" 2>/dev/null
}

install() {
    local contents base jax
    contents=$(wanted)
    jax=$(jax_wanted)
    rm -f -- "$stamp"
    if ! "$python" -c "import pip; $supported" >/dev/null 2>&1; then
        base=$(find_python) || exit
        say "making .venv with $base"
        "$base" -m venv --clear "$venv" || die 1 "could not make $venv"
    fi
    say "installing requirements.txt into .venv (once, takes minutes)"
    "$python" -m pip install -qq --retries 2 --disable-pip-version-check --no-input \
        ${jax:+"$jax"} -r "$here/requirements.txt" >&2 </dev/null ||
        die 1 "installation failed, see above; the package index must be reachable. Run again to repeat it"
    printf '%s\n' "$contents" >"$stamp.new"
    mv -- "$stamp.new" "$stamp"
}

set_up() { # two at once wait for each other where the system has flock
    ready && return
    if command -v flock >/dev/null; then
        exec 9>"$here/.venv.lock"
        flock 9
    fi
    ready || install
    exec 9>&-
}

case ${1-} in
-h | --help)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
    exit
    ;;
experiments.* | benchmarks.*)
    [[ -f $here/${1//.//}.py ]] || die 2 "no program $1: there is no file ${1//.//}.py; README.md names the programs"
    ;;
*)
    [[ ! -f $here/experiments/${1-}.py ]] || die 2 "no program $1; did you mean experiments.$1?"
    ;;
esac

set_up
cache=${XDG_CACHE_HOME:-${HOME:-$here}/.cache}/metalearn/xla
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR-$cache}
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=${JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS-0}
export GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.hugetlb=1} # huge pages: training on a CPU is faster
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}

case ${1-} in # exec: signals reach Python itself
setup) ;;
test)
    shift
    cd -- "$here"
    exec "$python" -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder "$@"
    ;;
'') exec "$python" -P -m experiments.maml --dataset=glyphs --workdir="$here/runs/glyphs-maml" ;;
-*) exec "$python" -P -m experiments.maml --dataset=glyphs "$@" ;;
*) exec "$python" -P -m "$@" ;;
esac
