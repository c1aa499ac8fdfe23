package clientkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// Values are the configured values of a client's keys. In JSON one is a
// string, and several are a list of strings. They may be literal keys, so they
// print as [redacted].
type Values []config.Template

// Format implements fmt.Formatter: no verb shows a value.
func (Values) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, tokens.Redacted) }

// String implements fmt.Stringer, and with it zap.Any.
func (Values) String() string { return tokens.Redacted }

// LogValue implements slog.LogValuer.
func (Values) LogValue() slog.Value { return slog.StringValue(tokens.Redacted) }

// MarshalJSON writes one value as a string.
func (v Values) MarshalJSON() ([]byte, error) {
	if len(v) == 1 {
		return json.Marshal(v[0])
	}
	return json.Marshal([]config.Template(v))
}

// UnmarshalJSON reads a string or a list of strings.
func (v *Values) UnmarshalJSON(data []byte) error {
	// The errors of the JSON parser may quote the text.
	var one config.Template
	var list []config.Template
	switch {
	case json.Unmarshal(data, &list) == nil:
		*v = list
	case json.Unmarshal(data, &one) == nil:
		*v = Values{one}
	default:
		return &config.ConfigurationError{Field: "client_keys key", Err: errors.New("must be a string, or a list of strings")}
	}
	return nil
}

// Interface guards
var (
	_ json.Marshaler   = Values(nil)
	_ json.Unmarshaler = (*Values)(nil)
)
