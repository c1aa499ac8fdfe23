package clientkey

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/credentials"
)

// Keys are the keys that are good now.
type Keys []issuedKey

// An issuedKey is a key of a client.
type issuedKey struct {
	digest digest
	client *Client
}

// identify returns the client whose key a value is, nil if there is none.
// Digests are compared, all of them, so that the time taken says nothing about
// a key.
func (keys Keys) identify(presented string) *Client {
	if presented == "" {
		return nil
	}
	digest := sha256.Sum256([]byte(presented))
	match := -1
	for i := range keys {
		match = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(digest[:], keys[i].digest[:]), i, match)
	}
	if match < 0 {
		return nil
	}
	return keys[match].client
}

// A Holder says where a request holds keys of this gateway.
type Holder struct {
	// fields are those of the credentials.KeyFields that hold one.
	fields [len(credentials.KeyFields)]bool
	// protocols are the WebSocket subprotocols that hold one.
	protocols []string
}

// Remove takes the keys of this gateway off a request: the headers that hold one,
// and of the WebSocket subprotocols those that do. It changes no slice of values
// in place.
func (k Holder) Remove(header http.Header) {
	for i, name := range credentials.KeyFields {
		if k.fields[i] {
			delete(header, name)
		}
	}
	if len(k.protocols) > 0 {
		credentials.FilterList(header, credentials.WebSocketProtocols, func(protocol string) bool { return !slices.Contains(k.protocols, protocol) })
	}
}

// mostKeys is how many keys a request may hold. Each is compared with all that are
// issued, before anybody knows who asks, and a header has room for 70,000.
const mostKeys = 16

// Authenticate finds the client of a request, nil if there is none, and where its
// keys are. The first key that is good decides, in the order of the credentials.KeyFields;
// those that are not good hide none. All are looked at, whichever is good: each
// that is good must be removed, and the time taken does not tell which it is. A
// request with more than mostKeys is nobody's.
func (keys Keys) Authenticate(header http.Header) (client *Client, holder Holder) {
	looked := 0
	for i, field := range credentials.KeyFields {
		for _, value := range header[field] {
			if field == "Authorization" {
				value = bearerToken(value)
			}
			if value == "" {
				continue
			}
			if looked++; looked > mostKeys {
				return nil, Holder{}
			}
			if match := keys.identify(value); match != nil {
				holder.fields[i] = true
				if client == nil {
					client = match
				}
			}
		}
	}
	for _, list := range header[credentials.WebSocketProtocols] {
		for protocol := range strings.SplitSeq(list, ",") {
			protocol = textproto.TrimString(protocol)
			key, _ := credentials.WebSocketKey(protocol)
			if key == "" {
				continue
			}
			if looked++; looked > mostKeys {
				return nil, Holder{}
			}
			if match := keys.identify(key); match != nil {
				holder.protocols = append(holder.protocols, protocol)
				if client == nil {
					client = match
				}
			}
		}
	}
	return client, holder
}

// bearerToken is the token of an Authorization header (RFC 6750 §2.1), empty if
// the header is of another scheme.
func bearerToken(authorization string) string {
	scheme, credentials, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(credentials)
}
