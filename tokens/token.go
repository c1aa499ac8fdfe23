package tokens

import "time"

// A Token is an access token and what its issuer said of its life.
type Token struct {
	// Value goes on requests, behind a prefix such as "Bearer ".
	Value Secret
	// Lifetime counts from the moment before the token request was sent.
	Lifetime time.Duration
	// RefreshIn is when the issuer wants the token replaced (refresh_in, which is
	// in no RFC); 0 where it said nothing.
	RefreshIn time.Duration
	// ObtainedAt is the moment before the token request was sent, by the wall clock.
	// A Fetcher sets it for a token that another instance has obtained.
	ObtainedAt time.Time

	obtained instant
	freshFor time.Duration
}

// ExpiresAt is when the token ends; it is never used after that.
func (t *Token) ExpiresAt() time.Time { return t.ObtainedAt.Add(t.Lifetime) }

func (t *Token) expired(now instant) bool { return now.since(t.obtained) >= t.Lifetime }

func (t *Token) stale(now instant) bool { return now.since(t.obtained) >= t.freshFor }

// The margin of CrewAI's document, and the share of a token's life that replaces it where
// the life is long.
const (
	minimumRefreshMargin = time.Minute
	refreshMarginShare   = 0.20
	refreshMarginJitter  = 0.10
)

// freshTime says how long a token is used before it is replaced in the
// background. refreshBefore is the configured margin, 0 for automatic: 20 % of
// the life, at least a minute, ± 10 % so that many gateways do not ask at
// once. No margin is more than half the life: otherwise a token that lives for
// less than the margin would be fetched anew for every request. An
// automatic margin of half the life varies too, by up to 10 % more: the token is
// replaced at half its life or a little earlier, never later.
func (t *Token) freshTime(refreshBefore time.Duration, jitter float64) time.Duration {
	half := t.Lifetime / 2
	margin := min(refreshBefore, half)
	if refreshBefore <= 0 {
		margin = max(minimumRefreshMargin, time.Duration(refreshMarginShare*float64(t.Lifetime)))
		variation := refreshMarginJitter * (2*jitter - 1)
		if margin >= half {
			margin, variation = half, refreshMarginJitter*jitter
		}
		margin += time.Duration(variation * float64(margin))
	}
	fresh := t.Lifetime - margin
	if t.RefreshIn > 0 && t.RefreshIn < fresh {
		fresh = t.RefreshIn
	}
	return fresh
}
