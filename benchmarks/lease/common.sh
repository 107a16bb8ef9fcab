# Sourced by one.sh, two.sh and three.sh, which run in the root of the repository on that machine.
# Environment: see README.md here.
lease=${LEASE:-/tmp/lease} # outlives a call, which the folder of what is returned does not
out=${OUT:-$lease/returned}
python=${PYTHON:-python3}
piece_mib=${PIECE_MIB:-15} # of a returned file, and how many of the compiled programs
pieces=${PIECES:-3}
mkdir -p "$lease"/{carried,xla,runs,results/benchmarks,cache,logs} "$out"

# What later calls need of this one's parcel.
for parcel in .lease[0-9]; do
    if [[ -d $parcel ]]; then
        cp -r "$parcel/." "$lease/carried/"
    fi
done

METALEARN_COMMIT=$(cat "$lease/carried/commit" 2>/dev/null || echo unknown)
# Without a network, PyTorch is there already or cannot be had.
METALEARN_PEERS=${METALEARN_PEERS:-$(command -v "$python")}
export METALEARN_COMMIT METALEARN_PEERS METALEARN_DATA_DIR=$lease/carried PYTHONUNBUFFERED=1
export JAX_COMPILATION_CACHE_DIR=$lease/xla JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
export TF_CPP_MIN_LOG_LEVEL=2
export PYTHONPATH=$PWD:$lease/carried/site${PYTHONPATH:+:$PYTHONPATH}

# The training that matters most: three.sh runs it, one.sh compiles it ahead.
first=(--shots=1 --seeds=3 --precision=tf32)
read -ra more <<<"${MORE:-}"

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

# What comes back: one archive of runs, records and logs, and the compiled programs in pieces.
returned() {
    tar -C "$lease" -czf "$out/.new" --exclude='*.orbax-checkpoint-tmp*' runs results logs
    mv "$out/.new" "$out/lease.tgz"
    rm -f "$out"/xla.tgz.*
    tar -C "$lease" -czf - xla | split -b "${piece_mib}M" -d - "$out/xla.tgz."
    find "$out" -name 'xla.tgz.*' | sort | tail -n "+$((pieces + 1))" | xargs -r rm -f --
    ls -l "$out"
}
