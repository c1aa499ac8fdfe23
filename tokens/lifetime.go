package tokens

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"go.uber.org/zap"
)

// lifetime reads how long a token lives, counted from start, the moment before
// the request was sent: by the first rule whose place says it, else by the token's
// own exp, else DefaultTTL, which is then assumed. It is never for ever and never
// more than MaxTTL.
func (r TokenResponse) lifetime(content content, token string, start time.Time) (lifetime time.Duration, assumed bool, err error) {
	for _, rule := range r.Expiry {
		value := content.at(rule.Path)
		if !isSet(value) {
			continue
		}
		lifetime, said, err := rule.Unit.read(value, start)
		if err != nil {
			return 0, false, fmt.Errorf("%s %w", rule.Path, err)
		}
		if said {
			return r.clamp(lifetime), false, nil
		}
	}
	return r.lifetimeOf(token, start)
}

// lifetimeOf is the lifetime of a token that nothing was said about.
func (r TokenResponse) lifetimeOf(token string, start time.Time) (lifetime time.Duration, assumed bool, err error) {
	exp, ok := expiryClaim(token)
	if !ok {
		return r.clamp(r.DefaultTTL), true, nil
	}
	if lifetime = sinceEpoch(exp, start); lifetime <= 0 {
		return 0, false, errExpired
	}
	return r.clamp(lifetime), false, nil
}

var errExpired = errors.New("the token has expired already, by its exp claim: check the clocks of this machine and of the server")

func (r TokenResponse) clamp(lifetime time.Duration) time.Duration {
	return min(lifetime, r.MaxTTL)
}

// logAssumedLifetime warns that nothing says how long tokens live.
func logAssumedLifetime(logger *zap.Logger, provider string, assumed time.Duration) {
	logger.Warn("the authorization server does not say how long its tokens live",
		zap.String("provider", provider), zap.Duration("assumed", assumed))
}

// number reads a JSON number, or a string that holds one: servers send 3600,
// "3600", 3600.0 and 3.6e3.
func number(r gjson.Result) (float64, bool) {
	text := r.Raw
	switch r.Type {
	case gjson.String:
		text = strings.TrimSpace(r.Str)
	case gjson.Number:
	default:
		return 0, false
	}
	return parseNumber(text)
}

// parseNumber reads a number. One that is out of range is infinite, which
// seconds cuts.
func parseNumber(text string) (float64, bool) {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(value) {
		return 0, false
	}
	return value, true
}

// longest is more than any lifetime that is believed.
const longest = 100 * 365 * 24 * time.Hour

// seconds makes a duration of a number of seconds that may be out of range.
func seconds(number float64) time.Duration {
	return time.Duration(min(max(number, -longest.Seconds()), longest.Seconds()) * float64(time.Second))
}

// sinceEpoch is the time from start to a Unix time.
func sinceEpoch(unix float64, start time.Time) time.Duration {
	return seconds(unix - float64(start.UnixNano())/1e9)
}

// expiryClaim reads the exp claim of a token that is a signed JWT (RFC 7519
// §4.1.4). The signature is the resource server's to check.
func expiryClaim(token string) (float64, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return 0, false
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return 0, false
	}
	exp := gjson.GetBytes(claims, "exp")
	if exp.Type != gjson.Number {
		return 0, false
	}
	return number(exp)
}

// refreshIn reads when a server wants a token replaced: refresh_in, in seconds,
// or refresh_on, a Unix time.
func (r TokenResponse) refreshIn(content content, start time.Time) time.Duration {
	if number, ok := number(content.at("refresh_in")); ok && number > 0 {
		return r.clamp(seconds(number))
	}
	if at, ok := number(content.at("refresh_on")); ok {
		return r.clamp(max(sinceEpoch(at, start), 0))
	}
	return 0
}

// retryAfter reads the Retry-After header: seconds or a date (RFC 9110 §10.2.3).
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if number, ok := parseNumber(value); ok {
		return min(max(seconds(number), 0), retryAfterLimit)
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), retryAfterLimit)
	}
	return 0
}
