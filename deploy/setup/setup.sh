#!/bin/bash
# Sets up everything that octree-serve needs on a Debian or Ubuntu machine: system packages, .venv, the locked Python
# packages, the project itself. Costs some milliseconds when there is nothing to do. Environment:
#   OCTREE_SKIP_SYSTEM=1   go on without system packages that are missing
#   PIP_INDEX_URL, ...     where pip looks, as always
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH="$PATH:/usr/sbin:/sbin"

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# --- system packages -------------------------------------------------------------------------------------------------

# library:package. What the PyQt5 wheel and its xcb plugin load beyond what they bring along (by ldd), and GL and EGL.
LIBRARIES="
    libGL.so.1:libgl1 libEGL.so.1:libegl1 libglib-2.0.so.0:libglib2.0-0 libdbus-1.so.3:libdbus-1-3
    libfontconfig.so.1:libfontconfig1 libfreetype.so.6:libfreetype6 libX11-xcb.so.1:libx11-xcb1 libXext.so.6:libxext6
    libxkbcommon.so.0:libxkbcommon0 libxkbcommon-x11.so.0:libxkbcommon-x11-0 libxcb-icccm.so.4:libxcb-icccm4
    libxcb-image.so.0:libxcb-image0 libxcb-keysyms.so.1:libxcb-keysyms1 libxcb-randr.so.0:libxcb-randr0
    libxcb-render.so.0:libxcb-render0 libxcb-render-util.so.0:libxcb-render-util0 libxcb-shape.so.0:libxcb-shape0
    libxcb-shm.so.0:libxcb-shm0 libxcb-sync.so.1:libxcb-sync1 libxcb-util.so.1:libxcb-util1
    libxcb-xfixes.so.0:libxcb-xfixes0 libxcb-xinerama.so.0:libxcb-xinerama0 libxcb-xkb.so.1:libxcb-xkb1
"

missing_packages() {
    local known entry
    known=$(ldconfig -p)
    for entry in $LIBRARIES; do
        [[ $known == *"	${entry%%:*} ("* ]] || echo "${entry##*:}"
    done
    # Mesa's software renderer: a driver of its own before Mesa 24.1, one library since.
    compgen -G '/usr/lib/*/dri/swrast_dri.so' >/dev/null || compgen -G '/usr/lib/*/libgallium-*.so' >/dev/null ||
        echo libgl1-mesa-dri
    [[ -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ]] || echo fonts-dejavu-core
    command -v Xvfb >/dev/null || echo xvfb
}

# Runs apt-get, as root or with a sudo that asks nothing; false where neither is possible.
apt_install() {
    local as_root=()
    command -v apt-get >/dev/null || return 1
    if [[ $EUID -ne 0 ]]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    say "apt-get installs $*"
    # The lists may be of any age, or not there at all in a container.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

install_system_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if ! apt_install "${missing[@]}"; then
        if [[ -n ${OCTREE_SKIP_SYSTEM:-} ]]; then
            say "going on without the system packages ${missing[*]}"
            return 0
        fi
        fail "these system packages are missing: ${missing[*]}" \
            "install them:  sudo apt-get install ${missing[*]}" \
            "or go on without a display and its tests:  OCTREE_SKIP_SYSTEM=1 make ..."
    fi
}

# --- Python ----------------------------------------------------------------------------------------------------------

is_fit() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (4,))' 2>/dev/null; }
makes_environments() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

# The first interpreter that is new enough; 3.11 to 3.13 are those that the lock was tried with.
find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3 python; do
        if command -v "$name" >/dev/null && is_fit "$name" && makes_environments "$name"; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

make_environment() {
    local python version
    if [[ -x .venv/bin/python ]] && .venv/bin/python -c 'import pip' 2>/dev/null; then
        is_fit .venv/bin/python || fail ".venv has a Python older than 3.11" "remove it:  make clean"
        return 0
    fi
    if ! python=$(find_python); then
        apt_install python3 python3-venv || true
        hash -r
        python=$(find_python) || fail "no Python 3.11 or newer with its venv module was found" \
            "install one:  sudo apt-get install python3 python3-venv  (Debian 12, Ubuntu 24.04 or newer)," \
            "or https://docs.astral.sh/uv/:  uv python install 3.12"
    fi
    version=$("$python" -c 'import platform; print(platform.python_version())')
    say "makes .venv with Python $version ($python)"
    "$python" -m venv .venv
}

install_packages() {
    local option=(--no-build-isolation --no-deps --editable .) cure="check the network, or name your mirror in PIP_INDEX_URL"
    say "installs what requirements.lock names, hashes checked (a minute or two, once)"
    if [[ -x .venv/bin/uv ]] && .venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.lock; then
        :
    else
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements.lock ||
            fail "the packages were not installed" "$cure"
    fi
    say "installs octree-serve itself, editable"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-index "${option[@]}" ||
        fail "octree-serve itself was not installed: see above"
}

# What the environment must fit: the lock, the project's metadata, this script, and where it stands (paths are in .venv).
wanted_stamp() { { pwd && cat requirements.lock pyproject.toml deploy/setup/setup.sh; } | sha256sum; }

is_done() { [[ -x .venv/bin/python && -f .venv/octree-setup && $(<.venv/octree-setup) == "$1" ]]; }

install_system_packages
stamp=$(wanted_stamp)
if ! is_done "$stamp"; then
    mkdir -p .venv
    # Two at once wait for each other; the lock goes with the process.
    exec 9>.venv/.setup-lock
    if command -v flock >/dev/null; then flock 9; fi
    if ! is_done "$stamp"; then
        make_environment
        install_packages
        printf '%s\n' "$stamp" >.venv/octree-setup
        say "done"
    fi
fi
