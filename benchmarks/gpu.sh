#!/usr/bin/env bash
# Make ready what benchmarks/gpu.py needs, without a network, and start it with the same options.
set -euo pipefail

help() {
    cat <<'TEXT'
benchmarks/gpu.sh [--wheels FOLDER] OPTION...

Measures meshtune on a machine with one NVIDIA GPU, a quarter of an hour and no network. Before leaving:

    python -m pip download --no-deps --only-binary=:all: --python-version 3.12 \
        --platform manylinux2014_x86_64 -d wheels NAME==VERSION     # every package that the machine lacks
    split -n 2 -d -a 1 model.gguf model.gguf.part                   # if the model must travel in pieces
    benchmarks/gpu.sh --device cpu --steps 2 --model tiny-random --minutes 1 --results /tmp/rehearsal.json \
        --out /tmp/rehearsal --rows 16 --seeds 0                    # the dress rehearsal

There, one command does everything and can be repeated until time is up; it goes on where it stopped:

    benchmarks/gpu.sh --wheels wheels --model model.gguf --sha256 DIGEST --data data --minutes 12

--wheels FOLDER   install the wheels of this folder, without a network, into a folder of their own
$PYTHON           names the Python to use: .venv/bin/python, else the one of PATH
All other options go to benchmarks/gpu.py:

TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
[[ -n ${PYTHON:-} || -x $python ]] || python=python3
wheels=
options=()
began=$(date +%s)
while (($#)); do
    case $1 in
        --wheels)
            (($# > 1)) || { echo "--wheels needs a folder" >&2; exit 2; }
            wheels=$2
            shift ;;
        --wheels=*) wheels=${1#*=} ;;
        -h | --help) help ;& # gpu.py has its own options to tell
        *) options+=("$1") ;;
    esac
    shift
done
export PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 TQDM_DISABLE=1 HF_HUB_OFFLINE=1
if [[ -n $wheels ]]; then
    compgen -G "$wheels/*.whl" >/dev/null || { echo "there are no wheels in $wheels" >&2; exit 2; }
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$wheels"/*.whl
    PYTHONPATH=$PYTHONPATH:$site
fi
"$python" "$root/benchmarks/gpu.py" --began "$began" "${options[@]}"
