package oauth2llm

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// clientCredentials are the headers in which LLM clients send credentials. They
// are the client's business with this gateway and never reach a provider
// (cases H03, H04).
var clientCredentials = map[string]struct{}{
	"Authorization":             {},
	"X-Api-Key":                 {},
	"Api-Key":                   {},
	"X-Goog-Api-Key":            {},
	"Xi-Api-Key":                {},
	"Ocp-Apim-Subscription-Key": {},
	"Proxy-Authorization":       {},
	"Cookie":                    {},
}

// isCredentialParameter reports whether a query parameter holds a credential.
func isCredentialParameter(name string) bool {
	switch strings.ToLower(name) {
	case "key", "api-key", "api_key", "access_token":
		return true
	}
	return false
}

// A credentialFilter knows what to take off a request for one provider.
type credentialFilter struct {
	removed map[string]struct{}
	// guarded are the names that a Connection header or a trailer must not
	// mention: what is removed, and what the gateway sets itself.
	guarded map[string]struct{}
	// parameter is the query parameter that the token goes into, if it does.
	parameter string
}

// newCredentialFilter removes the client's credentials but for kept headers,
// and guards those that the gateway sets.
func newCredentialFilter(kept []string, set ...string) *credentialFilter {
	f := &credentialFilter{removed: map[string]struct{}{}, guarded: map[string]struct{}{}}
	for name := range clientCredentials {
		f.removed[name], f.guarded[name] = struct{}{}, struct{}{}
	}
	for _, name := range kept {
		delete(f.removed, http.CanonicalHeaderKey(name))
	}
	for _, name := range set {
		f.guarded[canonicalField(http.CanonicalHeaderKey(name))] = struct{}{}
	}
	return f
}

// remove adds headers to those that are removed.
func (f *credentialFilter) remove(names ...string) {
	for _, name := range names {
		name = canonicalField(http.CanonicalHeaderKey(name))
		f.removed[name], f.guarded[name] = struct{}{}, struct{}{}
	}
}

// canonicalField is the name under which a header is looked up. Servers behind
// CGI-like interfaces read X_Api_Key as X-Api-Key (case H07).
func canonicalField(name string) string {
	if strings.IndexByte(name, '_') < 0 {
		return name
	}
	return textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// header returns a copy of a client's header without its credentials. Values
// are shared; their slices cannot be appended to in place. There is room for
// more entries.
func (f *credentialFilter) header(from http.Header, more int) http.Header {
	to := make(http.Header, len(from)+more)
	for name, values := range from {
		if _, removed := f.removed[canonicalField(name)]; removed {
			continue
		}
		to[name] = slices.Clip(values)
	}
	if connection, ok := to["Connection"]; ok {
		f.connection(to, connection)
	}
	if trailer, ok := to["Trailer"]; ok {
		f.list(to, "Trailer", trailer)
	}
	if protocols, ok := to["Sec-Websocket-Protocol"]; ok {
		filterList(to, "Sec-Websocket-Protocol", protocols, func(protocol string) bool {
			return !strings.HasPrefix(strings.ToLower(protocol), llm.WebSocketKeyPrefix)
		})
	}
	return to
}

// connection removes guarded names from the Connection header: reverse_proxy
// deletes every header that it names, ours too (case H01).
func (f *credentialFilter) connection(header http.Header, values []string) {
	if len(values) == 1 && (strings.EqualFold(values[0], "keep-alive") || strings.EqualFold(values[0], "upgrade") || strings.EqualFold(values[0], "close")) {
		return
	}
	f.list(header, "Connection", values)
}

// list removes guarded names from a header that is a list of header names.
func (f *credentialFilter) list(header http.Header, name string, values []string) {
	filterList(header, name, values, func(listed string) bool {
		_, guarded := f.guarded[canonicalField(textproto.CanonicalMIMEHeaderKey(listed))]
		return !guarded
	})
}

// filterList keeps those elements of a comma-separated header that keep wants.
func filterList(header http.Header, name string, values []string, keep func(string) bool) {
	var kept []string
	dropped := false
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			if element = textproto.TrimString(element); keep(element) {
				kept = append(kept, element)
			} else {
				dropped = true
			}
		}
	}
	switch {
	case !dropped:
	case len(kept) == 0:
		delete(header, name)
	default:
		header[name] = []string{strings.Join(kept, ", ")}
	}
}

// query returns a query without the parameters that hold credentials.
func (f *credentialFilter) query(raw string) string {
	return llm.WithoutParameters(raw, func(name string) bool {
		return isCredentialParameter(name) || name != "" && strings.EqualFold(name, f.parameter)
	})
}

// filterTrailer takes guarded fields out of a request's trailers (case H05).
func (f *credentialFilter) filterTrailer(trailer http.Header) {
	for name := range trailer {
		if _, guarded := f.guarded[canonicalField(textproto.CanonicalMIMEHeaderKey(name))]; guarded {
			delete(trailer, name)
		}
	}
}
