#!/bin/sh
# Makes a virtual environment and installs hormesis: sh infra/install.sh VENV EXTRAS
# Versions are those of infra/constraints.txt, or of the file that CONSTRAINTS names.
# Without a GPU the CPU build of torch is installed: the default build on Linux brings several GB of CUDA libraries.
set -eu
venv=$1
extras=$2
python=${PYTHON:-python3.11}
command -v "$python" >/dev/null 2>&1 || python=python3
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "hormesis needs Python 3.11 or newer ($python is $("$python" --version)); set PYTHON=/path/to/python3.11" >&2
    exit 2
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
torch=$(sed -n 's/^ *"\(torch==[0-9.]*\)",$/\1/p' pyproject.toml)
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then
    pip install "$torch"
elif ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
    # The CPU index first; where it cannot be reached, whatever the configured registry serves.
    pip install --retries 0 --timeout 5 --index-url https://download.pytorch.org/whl/cpu "$torch" 2>/dev/null || pip install "$torch"
fi
pip install --constraint "${CONSTRAINTS:-infra/constraints.txt}" --editable ".[$extras]"
