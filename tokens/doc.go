// Package tokens obtains OAuth2 access tokens and keeps them fresh.
//
// A Client makes one token request: it renders the parameters of a grant
// (RFC 6749 §4.4, §6), authenticates the client, sends the request without
// following redirects, and reads the many forms in which servers answer. A
// Manager keeps the token that comes of it: one request for any number of
// callers, retries 1, 2 and 4 s apart, replacement in the background before
// the token ends, and a memory of failures that spares the server.
//
// The files of a Client are client.go, request.go, response.go and what these read
// (content.go, token_response.go, lifetime.go, failure.go); assertion.go and signing_key.go sign.
// Those of a Manager are manager.go, flight.go, attempt.go, backoff.go and suspect.go.
// SharedStorage (storage.go) is what instances share: claims.go and claim.go keep them
// from asking at the same time, custody*.go keep a refresh token that is replaced, and
// shared*.go share access tokens.
//
// The package knows no Caddy and nothing of LLMs. Whatever must not be seen is
// a Secret.
package tokens
