#!/usr/bin/env bash
# Sends the SDKs of OpenAI, Google and Anthropic through a gateway, to LLMs that answer only to the
# gateway's tokens:
#
#	bash caddytest/peers/sdks.sh
#
# It needs Go, Node.js 20 with npm, Python 3.10 with venv, and curl; what it installs and builds it puts into
# a temporary folder. It prints a line for each check and fails if one fails.
set -euo pipefail
cd "$(dirname "$0")"

openai_python=3.57.0
work=$(mktemp -d)
pids=()
finish() {
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap finish EXIT
touch "$work/standins" "$work/gateway"

# quietly runs a command for at most so many seconds, which a loaded machine may need, and shows what it says only if it fails.
quietly() {
	timeout "$@" >"$work/said" 2>&1 || { cat "$work/said"; echo "failed: ${*:2}"; exit 1; }
}

# eventually waits until a command succeeds, for at most 10 s.
eventually() {
	for _ in $(seq 100); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	cat "$work/standins" "$work/gateway"
	echo "not in time: $*"
	exit 1
}

cp -r sdks "$work/sdks"
quietly 300 go build -o "$work/caddy" ../../cmd/caddy
quietly 300 npm install --prefix "$work/sdks" --no-package-lock --no-audit --no-fund --ignore-scripts
quietly 300 python3 -m venv "$work/python"
quietly 300 "$work/python/bin/pip" install --disable-pip-version-check "openai==$openai_python"

node "$work/sdks/standins.mjs" "$work/addresses" >"$work/standins" 2>&1 &
pids+=($!)
eventually test -f "$work/addresses"
set -a
# shellcheck source=/dev/null
. "$work/addresses"
set +a

env XDG_DATA_HOME="$work/data" XDG_CONFIG_HOME="$work/config" "$work/caddy" run --config "$work/sdks/Caddyfile" >"$work/gateway" 2>&1 &
pids+=($!)
eventually curl -s "http://$GATEWAY/"

# Without the keys and proxies of whoever runs this.
failed=
for client in openai google anthropic; do
	timeout 120 env -i PATH="$PATH" GATEWAY="$GATEWAY" node "$work/sdks/$client.mjs" || failed=yes
done
timeout 120 env -i PATH="$PATH" GATEWAY="$GATEWAY" "$work/python/bin/python" sdks.py || failed=yes
if [ -n "$failed" ]; then
	cat "$work/standins" "$work/gateway"
	echo 'not all checks have passed'
	exit 1
fi
