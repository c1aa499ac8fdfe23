package config

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// signedBy is the JWT that a provider of the catalogue asks with, or that is its token.
func signedBy(t *testing.T, name string, all Providers) string {
	t.Helper()
	entry := goldenEntry{Name: name}
	endpoint := &stubEndpoint{status: http.StatusOK, header: http.Header{}, answer: `{"access_token":"T","token":"T","iamToken":"T","id_token":"T","expires_in":60}`}
	token, err := entry.fetch(t, all, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	text := token.Value.Reveal()
	if r := endpoint.request; r != nil {
		text = endpoint.body + " " + strings.Join(r.Header["Authorization"], " ")
	}
	return jwtText.FindString(text)
}

// All presets that sign are tried at a server whose clock is 5 s behind: it refuses a
// JWT of the future. Google takes none that is valid for more than an hour.
func TestAServerWhoseClockIsBehindAcceptsEveryPresetThatSigns(t *testing.T) {
	dir := t.TempDir()
	keys := writeGoldenFiles(t, dir)
	configured := goldenProviders(t, dir)
	users := make(map[string]string) // of presets
	for name, p := range configured {
		users[p.Preset] = name
	}
	all, err := configured.expand(goldenEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	google, signing := 0, 0
	for preset, known := range Presets() {
		if !known.Provider.JWT.isSet() {
			continue
		}
		signing++
		t.Run(preset, func(t *testing.T) {
			if users[preset] == "" {
				t.Fatal("nothing in the catalogue uses this preset")
			}
			atGoldenTime(t, func(t *testing.T) {
				signed := signedBy(t, users[preset], all)
				behind := func() time.Time { return time.Now().Add(-5 * time.Second) }
				claims := jwt.MapClaims{}
				_, err := jwt.NewParser(jwt.WithTimeFunc(behind), jwt.WithIssuedAt(), jwt.WithExpirationRequired()).
					ParseWithClaims(signed, claims, func(parsed *jwt.Token) (any, error) {
						if _, symmetric := parsed.Method.(*jwt.SigningMethodHMAC); symmetric {
							return []byte(hsKey), nil
						}
						return keys.rsa.Public(), nil
					})
				if err != nil {
					t.Fatalf("a server 5 s behind says: %v", err)
				}
				// A JWT without iat cannot be one of the future.
				if iat, _ := claims.GetIssuedAt(); iat != nil {
					exp, _ := claims.GetExpirationTime()
					checkTimes(t, all[users[preset]], iat.Time, exp.Time)
				}
			})
		})
		if isGoogle(all[users[preset]]) {
			google++
		}
	}
	if signing < 8 || google != 2 {
		t.Errorf("%d presets sign, %d of them for Google", signing, google)
	}
}

func isGoogle(p *Provider) bool { return strings.Contains(string(p.TokenURL), "googleapis.com") }

func checkTimes(t *testing.T, p *Provider, iat, exp time.Time) {
	t.Helper()
	if ago := time.Since(iat); ago < 5*time.Second {
		t.Errorf("iat is %v ago", ago)
	}
	want := p.JWT.effectiveTTL()
	if life := exp.Sub(iat); life != want || isGoogle(p) && life > time.Hour {
		t.Errorf("exp is %v after iat, ttl is %v", life, want)
	}
}

func TestTheJWTOfAClientSecretIsOfThePastByItself(t *testing.T) {
	atGoldenTime(t, func(t *testing.T) {
		const fields = `"client_id":"i","client_secret":"` + hsKey + `","token_url":"https://idp.example.com/t","auth_method":"client_secret_jwt"`
		claims := opened(t, assertionOf(t, fields, testEnvironment()), []byte(hsKey)).Claims
		iat, _ := claims.GetIssuedAt()
		exp, _ := claims.GetExpirationTime()
		if ago := time.Since(iat.Time); ago != tokens.DefaultAssertionSkew || exp.Sub(iat.Time) != tokens.DefaultAssertionTTL {
			t.Errorf("iat is %v ago, exp %v after it", ago, exp.Sub(iat.Time))
		}
	})
}
