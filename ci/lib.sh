# Sourced by every script here: words for people, the cache, and how a thing is made once.
# shellcheck shell=bash
set -euo pipefail
shopt -s inherit_errexit

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${WAYBILL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/waybill}
# shellcheck source=ci/versions.env
source "$repo/ci/versions.env"

# An interpreter that uv fetched by itself would be one more thing from the outside.
export UV_PYTHON_DOWNLOADS=never
unset VIRTUAL_ENV
# Tests and engines start Python hundreds of times: what is compiled once stays so.
unset PYTHONDONTWRITEBYTECODE

say() { echo "$*" >&2; }

die() {
    say "error: $1"
    say "hint: $2"
    exit 1
}

# once NAME COMMAND...: the path of NAME in the cache. COMMAND fills a new directory, given as its
# last argument, which gets its name only when it is whole; of two at once the second waits.
once() {
    local target="$cache/$1" part="$cache/.part-$1"
    shift
    mkdir -p "$cache"
    (
        flock 9
        if [ ! -d "$target" ]; then
            rm -rf "$part"
            mkdir "$part"
            "$@" "$part" >&2
            mv "$part" "$target"
        fi
    ) 9>"$part.lock"
    echo "$target"
}

need_space() {
    local gigabytes=$1 free
    mkdir -p "$cache"
    free=$(df --output=avail -B 1G "$cache" | tail -n 1)
    if [ "$free" -lt "$gigabytes" ]; then
        die "$cache has ${free// /} GB free, and $gigabytes GB are needed" \
            "make room, or set WAYBILL_CACHE to a folder on a larger disk"
    fi
}

system_python() {
    [ -n "$(type -P python3)" ] || die "python3 is missing" "apt-get install python3 python3-venv"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "python3 is $(python3 -V 2>&1), and Waybill needs 3.11 or newer" \
            "put a newer python3 first in PATH"
    python3 -c 'import ensurepip, venv' 2>/dev/null ||
        die "python3 cannot make virtual environments here" "apt-get install python3-venv"
    python3 -c 'import sys; print(sys.executable)'
}

fill_uv() {
    local python
    python=$(system_python)
    say "fetching uv $UV_VERSION (25 MB)"
    "$python" -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
}

# uv of the pinned version, whatever the machine has.
uv() {
    local home
    home=$(once "uv-$UV_VERSION" fill_uv)
    "$home/bin/uv" "$@"
}

# The project's own interpreter, with the package and its development tools as uv.lock has them.
project_python() {
    local python
    python=$(system_python)
    [ -d "$repo/.venv" ] || say "setting up Python packages in .venv (200 MB)"
    uv sync --quiet --compile-bytecode --project "$repo" --frozen --all-extras --group dev --python "$python" >&2
    echo "$repo/.venv/bin/python"
}
