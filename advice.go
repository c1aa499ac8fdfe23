package oauth2llm

import (
	"maps"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// leftAdvice is the variable by which a directive that ends in an error leaves what it
// tells the client in headers to one in an error route.
const leftAdvice = appName + ".advice"

// advise sets the headers of a problem that an error route answers.
func (l *lease) advise(header http.Header, p *problem) {
	advice := make(http.Header)
	p.setHeaders(advice)
	maps.Copy(header, advice)
	caddyhttp.SetVar(l.Context, leftAdvice, advice)
}

// withdrawAdvice takes off what an earlier directive has told the client, such as not to
// try again: the request goes on, and what it is answered then has advice of its own. What
// an error route has set in its place stays.
func (l *lease) withdrawAdvice(header http.Header) {
	advice, _ := caddyhttp.GetVar(l.Context, leftAdvice).(http.Header)
	for name, values := range advice {
		if slices.Equal(header[name], values) {
			delete(header, name)
		}
	}
}
