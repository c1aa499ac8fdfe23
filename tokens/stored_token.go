package tokens

import "time"

// A storedToken is an access token as it is kept in the storage.
type storedToken struct {
	Token string `json:"token"`
	// ObtainedAt is the moment before its token request, by the clock of the instance
	// that has sent it.
	ObtainedAt time.Time `json:"obtained_at"`
	// Lifetime and RefreshIn are in seconds.
	Lifetime  float64 `json:"lifetime"`
	RefreshIn float64 `json:"refresh_in,omitempty"`
}

// storedTokenMargin is how much earlier a token ends that another instance has
// obtained, at most a tenth of its life: no expired one is sent while clocks differ
// by less.
const storedTokenMargin = 10 * time.Second

func newStoredToken(t Token, obtained time.Time) storedToken {
	return storedToken{Token: t.Value.Reveal(), ObtainedAt: obtained.UTC(), Lifetime: t.Lifetime.Seconds(), RefreshIn: t.RefreshIn.Seconds()}
}

// token returns the stored token.
func (s storedToken) token() Token {
	lifetime := seconds(s.Lifetime)
	return Token{
		Value: NewSecret(s.Token), ObtainedAt: s.ObtainedAt,
		Lifetime: lifetime - min(storedTokenMargin, lifetime/10), RefreshIn: seconds(s.RefreshIn),
	}
}

// serves reports whether the stored token is what is wanted: not the one that is to
// be replaced, and not about to end. What is fetched while nobody waits must be worth
// keeping, but for what replaces a refused one.
func (s storedToken) serves(want Want, now time.Time) bool {
	if s.Token == "" || !isSendable(s.Token) || want.InHand != nil && want.InHand.Value.Reveal() == s.Token {
		return false
	}
	age, lifetime := now.Round(0).Sub(s.ObtainedAt), seconds(s.Lifetime)
	switch {
	case s.inFuture(now):
		return false
	case !want.Waiting && !want.Refused:
		return age < lifetime/2
	}
	return age < s.token().Lifetime-min(time.Second, lifetime/20)
}

// inFuture reports whether the token was obtained at a time that this instance has
// not reached: the clocks differ, so that nothing is known of its end.
func (s storedToken) inFuture(now time.Time) bool {
	return s.ObtainedAt.Sub(now) > storedTokenMargin
}
