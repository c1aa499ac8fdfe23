// Package network holds the tests of gateways that share a storage: several
// processes over one folder, and over a Redis server whose connections are
// disturbed.
//
//	cd caddytest/network && go test -v .
//
// They run in real time. More of it, by hand:
//
//	go test -v -timeout 0 -run Kill9 . -kills 200
//	go run ./soak -for 30m -instances 3
//
// It is a module of its own, so that what only these tests need is not in the
// go.sum of those who use the plugin.
package network
