package tokens

import (
	"encoding/base64"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"go.uber.org/zap"
)

// lifetime reads how long a token lives, counted from start, the moment before
// the request was sent: expires_in, else the token's own exp, else DefaultTTL.
// It is never for ever and never more than MaxTTL (cases T01 to T09).
func (c *Client) lifetime(members func(string) gjson.Result, token string, start time.Time) (time.Duration, error) {
	if expiresIn := members("expires_in"); expiresIn.Exists() && expiresIn.Type != gjson.Null && expiresIn.String() != "" {
		seconds, ok := number(expiresIn)
		if !ok || seconds <= 0 {
			return 0, errors.New("expires_in is no number above 0")
		}
		return clampSeconds(seconds), nil
	}
	if exp, ok := expiryClaim(token); ok {
		seconds := exp - float64(start.UnixNano())/1e9
		if seconds <= 0 {
			return 0, errors.New("the token has expired already, by its exp claim")
		}
		return clampSeconds(seconds), nil
	}
	c.warnOnce.Do(func() {
		c.logger().Warn("the authorization server does not say how long its tokens live",
			zap.String("provider", c.Provider), zap.Duration("assumed", DefaultTTL))
	})
	return DefaultTTL, nil
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
// clampSeconds cuts (case T09).
func parseNumber(text string) (float64, bool) {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(value) {
		return 0, false
	}
	return value, true
}

func clampSeconds(seconds float64) time.Duration {
	if seconds >= MaxTTL.Seconds() {
		return MaxTTL
	}
	return time.Duration(seconds * float64(time.Second))
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

// refreshIn reads when Microsoft's servers want a token replaced: refresh_in,
// in seconds, or refresh_on, a Unix time (case T35).
func refreshIn(members func(string) gjson.Result, start time.Time) time.Duration {
	if seconds, ok := number(members("refresh_in")); ok && seconds > 0 {
		return clampSeconds(seconds)
	}
	if at, ok := number(members("refresh_on")); ok {
		if seconds := at - float64(start.UnixNano())/1e9; seconds > 0 {
			return clampSeconds(seconds)
		}
	}
	return 0
}

// retryAfter reads the Retry-After header: seconds or a date (RFC 9110 §10.2.3).
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if seconds, ok := parseNumber(value); ok {
		return min(clampSeconds(max(seconds, 0)), retryAfterLimit)
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), retryAfterLimit)
	}
	return 0
}
