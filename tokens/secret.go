package tokens

import (
	"crypto/subtle"
	"fmt"
	"io"
)

// Redacted is what every Secret prints as.
const Redacted = "[redacted]"

// A Secret is a value that must not be seen: a client secret, a token, an
// assertion. It prints as [redacted] with every verb of fmt, in JSON and in
// structured logs; only Reveal gives the value away, so that a search for
// "Reveal(" finds every place that handles one.
//
// The zero Secret is empty. The value lies behind a pointer because fmt cannot
// call the methods of an unexported field: it would print the value of a plain
// string there, and prints an address here.
type Secret struct {
	value *string
}

// NewSecret wraps a value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: &value}
}

// Reveal returns the value itself. It belongs on the wire and nowhere else.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Empty reports whether the value is missing or empty.
func (s Secret) Empty() bool { return s.value == nil }

// Equal compares two secrets in constant time for values of equal length.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// Format implements fmt.Formatter: no verb shows the value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// String implements fmt.Stringer.
func (s Secret) String() string { return Redacted }

// MarshalText implements encoding.TextMarshaler, and with it JSON and XML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }
