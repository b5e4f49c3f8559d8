"""uv, which resolves by metadata alone, so that no large wheel is downloaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "compat"
WHEELS = ("--only-binary", ":all:")

_TOOLS = BUILD / "tools"
_UV = _TOOLS / "bin" / "uv"
_VARIABLES = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
}


def uv(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run it in the root of the checkout, on the index that pip is told of; install it first if need be."""
    if not _UV.exists():
        subprocess.run([sys.executable, "-m", "venv", str(_TOOLS)], check=True)
        subprocess.run([str(_TOOLS / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"], check=True)
    told = {ours: os.environ[pips] for pips, ours in _VARIABLES.items() if pips in os.environ}
    environment = {"UV_PYTHON_DOWNLOADS": "never"} | told | os.environ
    command = [str(_UV), *arguments]
    return subprocess.run(
        command, input=given, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
