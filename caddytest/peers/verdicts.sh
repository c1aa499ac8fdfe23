#!/usr/bin/env bash
# Verifies what parsers of Node and Python read as the model of the requests that the tests of llm/ keep:
#
#	bash caddytest/peers/verdicts.sh
#
# It needs Node.js 20 with npm, and Python 3.11 or 3.12 with venv; what it installs it puts into a temporary folder.
set -euo pipefail
recorded=$(cd "$(dirname "$0")/../../llm/testdata" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# quietly runs a command for at most so many seconds, which a loaded machine may need, and shows what it says only if it fails.
quietly() {
	timeout "$@" >said 2>&1 || { cat said; echo "failed: ${*:2}"; exit 1; }
}

quietly 300 npm install --no-package-lock --no-audit --no-fund --ignore-scripts \
	body-parser@1.20.9 busboy@1.6.0 formidable@3.5.4 undici@6.29.1
timeout 120 node "$recorded/verdicts.mjs"
quietly 300 python3 -m venv python
quietly 300 python/bin/pip install --disable-pip-version-check starlette==1.10.0 python-multipart==0.0.34 Werkzeug==3.1.9
timeout 120 python/bin/python "$recorded/verdicts.py"
