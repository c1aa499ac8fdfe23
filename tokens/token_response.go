package tokens

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// A TokenResponse says where an answer holds the token, and what says when the
// token ends. The zero value follows RFC 6749 §5.1.
type TokenResponse struct {
	// Token are the places of the token, of which the first that holds something
	// counts: gjson paths, or names of headers behind "header:". Default:
	// access_token.
	Token []string
	// Expiry are the rules for the token's end, of which the first whose path
	// says one counts. Default: expires_in, in seconds.
	Expiry []ExpiryRule
	// DefaultTTL is the life of a token that nothing is said about, MaxTTL the
	// longest that is believed. Default: the constants of these names.
	DefaultTTL, MaxTTL time.Duration
}

// An ExpiryRule is a place in an answer, and how to read what it holds.
type ExpiryRule struct {
	Path string
	Unit ExpiryUnit
}

// An ExpiryUnit says how the end of a token is written.
type ExpiryUnit string

const (
	// ExpirySeconds is a time span.
	ExpirySeconds ExpiryUnit = "seconds"
	// ExpiryUnix and ExpiryUnixMS are points in time, since 1970.
	ExpiryUnix   ExpiryUnit = "unix"
	ExpiryUnixMS ExpiryUnit = "unix_ms"
	// ExpiryRFC3339 is a date and time.
	ExpiryRFC3339 ExpiryUnit = "rfc3339"
	// ExpiryAuto tells them apart by their size.
	ExpiryAuto ExpiryUnit = "auto"
)

// ExpiryUnits lists the units.
func ExpiryUnits() []ExpiryUnit {
	return []ExpiryUnit{ExpirySeconds, ExpiryUnix, ExpiryUnixMS, ExpiryRFC3339, ExpiryAuto}
}

// What ExpiryAuto takes for a point in time: more than 31 years are no time span,
// and the milliseconds since 1970 have been more than this since 1973.
const autoUnix, autoUnixMS = 1e9, 1e11

// WithDefaults fills in what is not set.
func (r TokenResponse) WithDefaults() TokenResponse {
	if len(r.Token) == 0 {
		r.Token = []string{"access_token"}
	}
	if len(r.Expiry) == 0 {
		r.Expiry = []ExpiryRule{{"expires_in", ExpirySeconds}}
	}
	r.DefaultTTL, r.MaxTTL = orDefault(r.DefaultTTL, DefaultTTL), orDefault(r.MaxTTL, MaxTTL)
	return r
}

// token finds the token in an answer.
func (r TokenResponse) token(content content) (value gjson.Result, found bool) {
	for _, place := range r.Token {
		if value := content.at(place); isSet(value) {
			return value, true
		}
	}
	return gjson.Result{}, false
}

// errNoToken is about an answer without a token.
var errNoToken = errors.New("the answer holds no")

// noToken is what servers behind a load balancer that is being replaced answer
// for a while.
func (r TokenResponse) noToken(contentType string) error {
	return fmt.Errorf("%w %s (%s)", errNoToken, strings.Join(r.Token, " or "), mediaType(contentType))
}

// read reads how long a token lives from start. Servers that say nothing send 0,
// true, {}, or a word: what is neither a number nor a date counts as not said.
func (u ExpiryUnit) read(value gjson.Result, start time.Time) (lifetime time.Duration, said bool, err error) {
	number, isNumber := number(value)
	if isNumber && number == 0 {
		return 0, false, nil
	}
	if isNumber && number < 0 {
		return 0, false, errors.New("must be a number above 0")
	}
	lifetime, said = u.parse(value, start)
	if said && lifetime <= 0 {
		if u == ExpirySeconds {
			return 0, false, nil // less than a nanosecond
		}
		return 0, false, errors.New("is in the past: check its unit, and the clocks of this machine and of the server")
	}
	return lifetime, said, nil
}

func (u ExpiryUnit) parse(value gjson.Result, start time.Time) (time.Duration, bool) {
	n, isNumber := number(value)
	switch {
	case u == ExpiryRFC3339 || u == ExpiryAuto && !isNumber:
		at, ok := parseDate(value)
		return at.Sub(start), ok
	case !isNumber:
		return 0, false
	case u == ExpiryUnixMS || u == ExpiryAuto && n > autoUnixMS:
		return sinceEpoch(n/1000, start), true
	case u == ExpiryUnix || u == ExpiryAuto && n > autoUnix:
		return sinceEpoch(n, start), true
	}
	return seconds(n), true
}

// dateLayouts are RFC 3339 and what some servers take for it. A date without a
// time zone is one in UTC.
var dateLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05"}

func parseDate(value gjson.Result) (time.Time, bool) {
	if value.Type != gjson.String {
		return time.Time{}, false
	}
	for _, layout := range dateLayouts {
		if at, err := time.Parse(layout, strings.TrimSpace(value.Str)); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}
