#!/usr/bin/env bash
# Sends uploads that a gateway refuses before their end, with clients that are
# not written in Go, and fails if an answer is lost:
#
#	bash caddytest/peers/early_answers.sh
#
# It needs Go, node 20, python3 and curl. TRIES is how often each upload is sent.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
gateway=
trap '[ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true; rm -rf "$work"' EXIT
tries=${TRIES:-20}

go build -o "$work/caddy" ../../cmd/caddy
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export GATEWAY=127.0.0.1:$port
XDG_DATA_HOME="$work" XDG_CONFIG_HOME="$work" "$work/caddy" run --adapter caddyfile --config early_answers.caddyfile >"$work/log" 2>&1 &
gateway=$!
for _ in $(seq 100); do
	curl -s -o "$work/out" "http://$GATEWAY/" && break
	sleep 0.1
done
# The gateway forwards what it does not refuse.
answer=$(curl -s -H 'Authorization: Bearer gateway-key' -H 'Content-Type: application/json' -d '{"model":"corp/m"}' "http://$GATEWAY/v1/chat/completions")
if [ "$answer" != '{}' ]; then
	printf 'the gateway answers %s\n' "$answer"
	cat "$work/log"
	exit 1
fi

# with_curl <how> <curl options...> sends all cases.
with_curl() {
	local how=$1 status bytes path key encoding options got lost why
	shift
	while read -r status bytes path key encoding; do
		[[ $status == [0-9]* ]] || continue
		options=(-H 'Content-Type: application/json' "$@")
		[ "$key" = - ] || options+=(-H "Authorization: Bearer $key")
		[ "$encoding" = - ] || options+=(-H "Content-Encoding: $encoding")
		python3 -c 'import sys; n = int(sys.argv[1]); a, b = "{\"model\":\"corp/m\",\"x\":\"", "\"}"; sys.stdout.write(a + "x" * (n - len(a) - len(b)) + b)' "$bytes" >"$work/body"
		lost=0 why=
		for _ in $(seq "$tries"); do
			if ! got=$(curl -s -o "$work/out" -w '%{http_code}' --max-time 60 "${options[@]}" --data-binary "@$work/body" "http://$GATEWAY$path"); then
				lost=$((lost + 1)) why=" (curl failed)"
			elif [ "$got" != "$status" ]; then
				lost=$((lost + 1)) why=" (status $got)"
			fi
		done
		[ "$lost" = 0 ] || failed=1
		echo "curl, $path, $status at $bytes bytes, $how: lost $lost of $tries$why"
	done <early_answers.cases
}

failed=0
node early_answers.mjs "http://$GATEWAY" || failed=1
python3 early_answers.py "http://$GATEWAY" || failed=1
with_curl 'with a length' -H 'Expect:'
with_curl 'in chunks' -H 'Expect:' -H 'Transfer-Encoding: chunked'
with_curl 'asking first' -H 'Expect: 100-continue'
if [ "$failed" != 0 ]; then
	echo 'an answer was lost'
	exit 1
fi
