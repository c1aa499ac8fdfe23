package config

import (
	"errors"
	"regexp"
	"strconv"
	"time"
)

// A Duration is a time span of at least 1 ms, written with its unit like "10s",
// "1m30s", "500ms" or "1d".
type Duration time.Duration

// minDuration is the shortest time span that somebody can mean. Where Caddy reads a
// duration, a number without a unit counts nanoseconds: 15 is meant for seconds.
const minDuration = time.Millisecond

var (
	errDuration      = errors.New(`must be a duration of at least 1ms; write one such as "10s" or "1m30s"`)
	errRefreshBefore = errors.New(`must be "auto", or a duration of at least 1ms such as "5m"`)
	errSkew          = errors.New(`must be 0, or a duration of at least 1ms such as "10s"`)
	errShortDuration = errors.New(`must be at least 1ms; a number without a unit counts nanoseconds: write a duration such as "15s"`)
)

// CheckDuration returns an error for a time span under 1 ms. It is for fields that
// Caddy's type of durations reads.
func CheckDuration(d time.Duration) error {
	if d < minDuration {
		return errShortDuration
	}
	return nil
}

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := parseDuration(string(text))
	if err != nil || parsed < minDuration {
		return errDuration
	}
	*d = Duration(parsed)
	return nil
}

// days matches a number of days in a duration.
var days = regexp.MustCompile(`([0-9]+\.?[0-9]*|\.[0-9]+)d`)

// parseDuration reads what Caddy reads: the units of Go, and d for a day of 24 hours.
// Its error quotes the text.
func parseDuration(text string) (time.Duration, error) {
	return time.ParseDuration(days.ReplaceAllStringFunc(text, func(match string) string {
		number, err := strconv.ParseFloat(match[:len(match)-1], 64)
		if err != nil {
			return match
		}
		return strconv.FormatFloat(number*24, 'f', -1, 64) + "h"
	}))
}

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// A Skew is a Duration, or "0" for none.
type Skew Duration

// UnmarshalText reads "0" in any unit, or a duration.
func (s *Skew) UnmarshalText(text []byte) error {
	if parsed, err := parseDuration(string(text)); err == nil && parsed == 0 {
		*s = 0
		return nil
	}
	if err := (*Duration)(s).UnmarshalText(text); err != nil {
		return errSkew
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Skew) MarshalText() ([]byte, error) { return Duration(s).MarshalText() }

// RefreshBefore is a Duration, or "auto", which is 0.
type RefreshBefore Duration

// UnmarshalText reads "auto" or a duration.
func (r *RefreshBefore) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*r = 0
		return nil
	}
	if err := (*Duration)(r).UnmarshalText(text); err != nil {
		return errRefreshBefore
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
