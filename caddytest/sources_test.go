package caddytest

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Tokens that no token endpoint is asked for.

const ownSource = `
{
	{{global}}
	oauth2_llm {
		provider corp {
			%s
			base_url %s
		}
	}
}
{{site}} {
	oauth2_llm {
		client_key agents gateway-key
		default_provider corp
	}
	reverse_proxy {
		dynamic oauth2_llm
		transport oauth2_llm
	}
}`

func bearer(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func TestASignedJWTIsTheToken(t *testing.T) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			key := newSigningKey(t, alg)
			up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				claims := jwt.MapClaims{}
				_, err := jwt.ParseWithClaims(bearer(r), claims, func(*jwt.Token) (any, error) { return key.private.Public(), nil },
					jwt.WithValidMethods([]string{alg}), jwt.WithIssuedAt(), jwt.WithExpirationRequired(), jwt.WithIssuer("ACCOUNT.USER"))
				if err != nil {
					w.WriteHeader(http.StatusForbidden)
				}
			})
			fields := "source self_signed\njwt {\nalg " + alg + "\nkey_file {{folder}}/key.pem\nclaim iss ACCOUNT.USER\n}"
			g := startGatewayWith(t, fmt.Sprintf(ownSource, fields, up.URL), map[string]string{"key.pem": key.file("PKCS#8")})
			for range 2 {
				g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			}
			if seen := up.all(); seen[0].header.Get("Authorization") != seen[1].header.Get("Authorization") {
				t.Error("a new token was signed although the first is good")
			}
		})
	}
}

// Something else rotates the token; the LLM takes the new one from then on. What is
// in the file meanwhile is of no use, and says so.
func TestATokenFileIsReadAgainWhenItsTokenIsRefused(t *testing.T) {
	var accepted atomic.Value
	accepted.Store("token-1")
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if bearer(r) != accepted.Load() {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	g := startGatewayWith(t, fmt.Sprintf(ownSource, "source file {{folder}}/token", up.URL), map[string]string{"token": "token-1\n"})
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)

	accepted.Store("token-2")
	g.write("token", "token-2\n")
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	if up.count() != 3 {
		t.Errorf("the LLM was asked %d times, want 3: with the first token, with that again, and with the second", up.count())
	}
}

func TestATokenFileThatIsOfNoUse(t *testing.T) {
	expired, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}).SignedString([]byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		content string
		status  int
		code    string
		log     string
	}{
		"a token that has ended":    {expired, http.StatusBadGateway, "invalid_token_response", "check what writes that file"},
		"a text that is no token":   {"two words CANARY", http.StatusBadGateway, "invalid_token_response", "white space"},
		"no file at all any longer": {"", http.StatusInternalServerError, "unresolved_reference", "source: unresolved reference"},
	} {
		t.Run(name, func(t *testing.T) {
			up := newUpstream(t, nil)
			g := startGatewayWith(t, fmt.Sprintf(ownSource, "source file {{folder}}/token", up.URL), map[string]string{"token": "token-1"})
			if test.content == "" {
				if err := os.Remove(g.folder + "/token"); err != nil {
					t.Fatal(err)
				}
			} else {
				g.write("token", test.content)
			}
			got := g.post("/v1/x", "{}", withKey...)
			got.wantStatus(t, test.status)
			if !strings.Contains(got.body, test.code) {
				t.Errorf("the answer is %s", got.body)
			}
			if log := g.log(); !strings.Contains(log, test.log) || strings.Contains(log, "CANARY") || strings.Contains(log, expired) {
				t.Errorf("the log does not say %q, or shows what was in the file", test.log)
			}
			if up.count() != 0 {
				t.Error("a request was forwarded without a token")
			}
		})
	}
}
