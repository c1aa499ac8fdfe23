package config

import (
	"errors"
	"time"
)

// A Duration is a time span above 0, written like "10s", "1m30s" or "500ms".
type Duration time.Duration

var errDuration = errors.New(`is no duration above 0; write one such as "10s" or "1m30s"`)

// UnmarshalText reads a duration (case G13).
func (d *Duration) UnmarshalText(text []byte) error {
	// The error of ParseDuration quotes the text.
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed <= 0 {
		return errDuration
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// RefreshBefore is a Duration, or "auto", which is 0.
type RefreshBefore Duration

// UnmarshalText reads "auto" or a duration.
func (r *RefreshBefore) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*r = 0
		return nil
	}
	if err := (*Duration)(r).UnmarshalText(text); err != nil {
		return errors.New(`is neither "auto" nor a duration above 0 such as "5m"`)
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (r RefreshBefore) MarshalText() ([]byte, error) {
	if r == 0 {
		return []byte("auto"), nil
	}
	return Duration(r).MarshalText()
}
