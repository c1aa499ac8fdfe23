// Package credentials knows where clients send credentials, and takes them off requests
// that are forwarded.
package credentials

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// KeyFields are the headers in which the SDKs of LLM APIs send a client's key, in
// the order in which they are looked at. Browsers, which can set none of them for
// a WebSocket, send it as a subprotocol; that comes last.
var KeyFields = [...]string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}

// clientCredentials are the headers in which LLM clients send credentials. They
// are the client's business with this gateway and never reach a provider.
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

// overrides are headers that make some servers take a request for another one
// than it is: one with another method, for another path, or, behind a CGI-like
// interface, one whose program speaks through a proxy of the client's choice
// (Proxy becomes HTTP_PROXY there). What a client may do is decided by its method
// and path, so that none of them is ever forwarded.
var overrides = map[string]struct{}{
	"X-Http-Method-Override": {},
	"X-Http-Method":          {},
	"X-Method-Override":      {},
	"X-Original-Url":         {},
	"X-Rewrite-Url":          {},
	"X-Override-Url":         {},
	"Proxy":                  {},
}

// IsOverride reports whether a header, in any spelling, is one of the overrides.
func IsOverride(name string) bool {
	_, override := overrides[CanonicalField(textproto.CanonicalMIMEHeaderKey(name))]
	return override
}

// RemoveOverrides takes the overrides off a header that is forwarded with the
// client's own credentials, and their names out of Connection and Trailer. It
// changes no slice of values in place.
func RemoveOverrides(header http.Header) {
	for name := range header {
		if IsOverride(name) {
			delete(header, name)
		}
	}
	for _, list := range [...]string{"Connection", "Trailer"} {
		FilterList(header, list, func(listed string) bool { return isConnectionOption(listed) || !IsOverride(listed) })
	}
}

// isCredentialParameter reports whether a query parameter holds a credential.
func isCredentialParameter(name string) bool {
	switch strings.ToLower(name) {
	case "key", "api-key", "api_key", "access_token":
		return true
	}
	return false
}

// A Filter knows what to take off a request for one provider.
type Filter struct {
	removed map[string]struct{}
	// guarded are the names that a Connection header or a trailer must not
	// mention: what is removed, and what the gateway sets itself.
	guarded map[string]struct{}
	// Parameter is the query parameter that the token goes into, if it does.
	Parameter string
}

// NewFilter removes the overrides, and the client's credentials but for
// kept headers, and guards those that the gateway sets.
func NewFilter(kept []string, set ...string) *Filter {
	f := &Filter{removed: map[string]struct{}{}, guarded: map[string]struct{}{}}
	for name := range clientCredentials {
		f.removed[name], f.guarded[name] = struct{}{}, struct{}{}
	}
	for _, name := range kept {
		delete(f.removed, http.CanonicalHeaderKey(name))
	}
	for name := range overrides {
		f.Remove(name)
	}
	for _, name := range set {
		f.guarded[CanonicalField(http.CanonicalHeaderKey(name))] = struct{}{}
	}
	return f
}

// Remove adds headers to those that are removed.
func (f *Filter) Remove(names ...string) {
	for _, name := range names {
		name = CanonicalField(http.CanonicalHeaderKey(name))
		f.removed[name], f.guarded[name] = struct{}{}, struct{}{}
	}
}

// CanonicalField is the name under which a header is looked up. Servers behind
// CGI-like interfaces read X_Api_Key as X-Api-Key.
func CanonicalField(name string) string {
	if strings.IndexByte(name, '_') < 0 {
		return name
	}
	return textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// Header returns a copy of a client's header without its credentials and without
// overrides. Values are shared; their slices cannot be appended to in place. There
// is room for more entries.
func (f *Filter) Header(from http.Header, more int) http.Header {
	to := make(http.Header, len(from)+more)
	for name, values := range from {
		if _, removed := f.removed[CanonicalField(textproto.CanonicalMIMEHeaderKey(name))]; removed {
			continue
		}
		to[name] = slices.Clip(values)
	}
	// reverse_proxy deletes every header that Connection names, ours too.
	f.list(to, "Connection")
	f.list(to, "Trailer")
	FilterList(to, WebSocketProtocols, func(protocol string) bool {
		_, found := WebSocketKey(protocol)
		return !found
	})
	return to
}

// list removes guarded names from a header that is a list of header names.
func (f *Filter) list(header http.Header, name string) {
	FilterList(header, name, func(listed string) bool { return isConnectionOption(listed) || !f.guards(listed) })
}

// isConnectionOption reports whether an element of Connection is one of those that
// most requests have, which names no header that is guarded.
func isConnectionOption(listed string) bool {
	return strings.EqualFold(listed, "keep-alive") || strings.EqualFold(listed, "close") || strings.EqualFold(listed, "Upgrade")
}

// guards reports whether a header, in any spelling, is guarded.
func (f *Filter) guards(name string) bool {
	_, guarded := f.guarded[CanonicalField(textproto.CanonicalMIMEHeaderKey(name))]
	return guarded
}

// FilterList keeps those elements of a comma-separated header that keep wants. A
// header of which it wants all stays as it is; else the list is a new one.
func FilterList(header http.Header, name string, keep func(element string) bool) {
	values := header[name]
	count, wanted := 0, 0
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			count++
			if keep(textproto.TrimString(element)) {
				wanted++
			}
		}
	}
	switch wanted {
	case count:
		return
	case 0:
		delete(header, name)
		return
	}
	kept := make([]string, 0, wanted)
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			if element = textproto.TrimString(element); keep(element) {
				kept = append(kept, element)
			}
		}
	}
	header[name] = []string{strings.Join(kept, ", ")}
}

// OnlyWebSocket takes Upgrade off a header, and out of Connection, unless it is
// one value, and that is websocket, on a GET (RFC 6455 §4.1). Another protocol, such
// as h2c, would be a connection to the upstream on which the client does as it likes,
// and so would a WebSocket where a POST of one model is allowed. It changes no slice
// of values in place.
func OnlyWebSocket(method string, header http.Header) {
	if upgrade := header["Upgrade"]; method == http.MethodGet && len(upgrade) == 1 && strings.EqualFold(textproto.TrimString(upgrade[0]), "websocket") {
		return
	}
	delete(header, "Upgrade")
	FilterList(header, "Connection", func(listed string) bool { return !strings.EqualFold(listed, "Upgrade") })
}

// WebSocketProtocols is the header in which browsers, which can set no other for a
// WebSocket, send a key.
const WebSocketProtocols = "Sec-Websocket-Protocol"

// webSocketKeyPrefix begins the subprotocol that is such a key.
const webSocketKeyPrefix = "openai-insecure-api-key."

// WebSocketKey is the key that a WebSocket subprotocol holds.
func WebSocketKey(protocol string) (key string, found bool) {
	const length = len(webSocketKeyPrefix)
	if len(protocol) < length || !strings.EqualFold(protocol[:length], webSocketKeyPrefix) {
		return "", false
	}
	return protocol[length:], true
}

// Query returns a query without the parameters that hold credentials.
func (f *Filter) Query(raw string) string {
	return llm.WithoutParameters(raw, func(name string) bool {
		return isCredentialParameter(name) || name != "" && strings.EqualFold(name, f.Parameter)
	})
}

// FilterTrailer takes guarded fields and overrides out of a request's trailers. It makes
// a message.TrailerFilter of the filter.
func (f *Filter) FilterTrailer(trailer http.Header) {
	for name := range trailer {
		if f.guards(name) || IsOverride(name) {
			delete(trailer, name)
		}
	}
}
