package oauth2llm

import (
	"maps"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
)

// left is what a directive leaves to a later one of the same request. It stands among
// the placeholders, which are safe to set at any time: a connection that is still being
// dialed for the request reads Caddy's variables of it. As a text it is nothing.
type left[T any] struct{ value T }

func (left[T]) String() string { return "" }

// leftBy is what an earlier directive has left, else nothing.
func leftBy[T any](replacer *caddy.Replacer, key string) (value T) {
	if set, ok := replacer.Get(key); ok {
		if left, ok := set.(left[T]); ok {
			return left.value
		}
	}
	return value
}

// leftAdvice is the placeholder by which a directive that ends in an error leaves what
// it tells the client in headers to one in an error route; see left.
const leftAdvice = "http." + appName + ".left.advice"

// advise sets the headers of a problem that an error route answers.
func (l *lease) advise(header http.Header, p *problem) {
	advice := make(http.Header)
	p.setHeaders(advice)
	maps.Copy(header, advice)
	l.replacer.Set(leftAdvice, left[http.Header]{advice})
}

// withdrawAdvice takes off what an earlier directive has told the client, such as not to
// try again: the request goes on, and what it is answered then has advice of its own. What
// an error route has set in its place stays.
func (l *lease) withdrawAdvice(header http.Header) {
	for name, values := range leftBy[http.Header](l.replacer, leftAdvice) {
		if slices.Equal(header[name], values) {
			delete(header, name)
		}
	}
}
