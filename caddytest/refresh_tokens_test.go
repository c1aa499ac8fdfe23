package caddytest

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/filestorage"
	"github.com/luikyv/go-oidc/pkg/goidc"
	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A server that rotates refresh tokens takes each of them once. The same token
// sent twice looks like theft to it.
func TestTheRealServersRefreshTokensAreUsedOnceEach(t *testing.T) {
	key := newSigningKey(t, "ES256")
	for name, test := range map[string]struct {
		method goidc.AuthnMethod
		fields string
	}{
		"with client_secret_post": {goidc.AuthnMethodSecretPost, "client_secret s"},
		"with private_key_jwt":    {goidc.AuthnMethodPrivateKeyJWT, "auth_method private_key_jwt\njwt {\nalg ES256\nkey_file {{folder}}/key.pem\n}"},
		"and nothing else":        {goidc.AuthnMethodSecretPost, "client_secret s\ngrant_type refresh_token"},
	} {
		t.Run(name, func(t *testing.T) {
			auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s", key: key, method: test.method})
			// The gateway remembers what has become of a refresh token until its
			// process ends.
			first := strings.ReplaceAll("first refresh token "+name, " ", "-")
			auth.grants.issue("client_a", first)
			llm := newLLM(t, auth, "client_a")
			g := startGatewayWith(t, boundWith(auth, llm, "client_id client_a", "refresh_token "+first, test.fields), map[string]string{"key.pem": key.file("PKCS#8")})

			// handedOut is what the server has given for each token request.
			handedOut := []string{first}
			for range 4 {
				if len(handedOut) > 1 {
					auth.revoke(llm.lastRequest().header.Get("Authorization"))
				}
				g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
				handedOut = append(handedOut, auth.grants.current(first))
			}
			forms := auth.sent()
			if len(forms) != 4 {
				t.Fatalf("%d token requests, want 4", len(forms))
			}
			assertions := map[string]bool{}
			for i, form := range forms {
				if form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != handedOut[i] {
					t.Errorf("token request %d had %s and not what the server has handed out last", i+1, form.Get("grant_type"))
				}
				if test.method == goidc.AuthnMethodPrivateKeyJWT {
					_, claims := wantAssertion(t, form.Get("client_assertion"), "ES256", key.private.Public(), "client_a", auth.tokenURL())
					assertions[claims["jti"].(string)] = true
				}
			}
			if test.method == goidc.AuthnMethodPrivateKeyJWT && len(assertions) != 4 {
				t.Errorf("4 token requests had %d different assertions", len(assertions))
			}
			// The tokens that the LLM refused are those that were revoked.
			if n := llm.refused.Load(); n != 3 {
				t.Errorf("%d tokens were refused", n)
			}
			// What the test relies on: the server takes no refresh token twice.
			if test.method == goidc.AuthnMethodSecretPost {
				auth.wantRefreshTokenRefused(t, first)
			}
		})
	}
}

// storedRefreshTokens are the names of what Caddy's storage keeps of refresh tokens.
func (g *gateway) storedRefreshTokens(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(g.folder, "storage", "oauth2_llm", "refresh_tokens", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = filepath.Base(file)
		content, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(content), `{"v":1,"sealed":"`) {
			t.Errorf("%s holds %s, %v", file, content, err)
		}
	}
	return strings.Join(names, " ")
}

// A rotated refresh token is in Caddy's storage, and what another instance has put
// there is used.
func TestARotatedRefreshTokenIsSharedThroughTheStorage(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	const first = "a-refresh-token-of-two-instances"
	auth.grants.issue("client_a", first)
	llm := newLLM(t, auth, "client_a")
	g := startGateway(t, boundWith(auth, llm, "client_id client_a", "client_secret s", "refresh_token "+first))
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	if got := g.storedRefreshTokens(t); got != "gen-00000001" {
		t.Errorf("the storage has %s", got)
	}

	// Another instance uses it, and stores what it gets.
	files, err := (&filestorage.FileStorage{Root: filepath.Join(g.folder, "storage")}).CertMagicStorage()
	if err != nil {
		t.Fatal(err)
	}
	storage := &tokens.SharedStorage{}
	storage.Bind(files, zap.NewNop())
	other := &tokens.Client{
		Provider: "another", TokenURL: tokens.Literal(auth.tokenURL()), ClientID: tokens.Literal("client_a"), ClientSecret: tokens.Literal("s"),
		RefreshToken: tokens.Literal(first), Storage: storage,
	}
	if _, err := other.Fetch(t.Context(), tokens.Want{Waiting: true}); err != nil {
		t.Fatal(err)
	}
	if got := g.storedRefreshTokens(t); got != "gen-00000002" {
		t.Errorf("the storage has %s", got)
	}
	newest := auth.grants.current(first)
	auth.revoke(llm.lastRequest().header.Get("Authorization"))
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	forms := auth.sent()
	if last := forms[len(forms)-1]; last.Get("grant_type") != "refresh_token" || last.Get("refresh_token") != newest {
		t.Error("the gateway did not use what the other instance has stored")
	}
	if got := g.storedRefreshTokens(t); got != "gen-00000003" {
		t.Errorf("the storage has %s", got)
	}
	if log := g.log(); strings.Contains(log, first) || strings.Contains(log, newest) {
		t.Error("the log shows a refresh token")
	}
}

func (s *authServer) wantRefreshTokenRefused(t *testing.T, refreshToken string) {
	t.Helper()
	response, err := http.PostForm(s.tokenURL(), url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}, "client_id": {"client_a"}, "client_secret": {"s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("the server answers a used refresh token with %d", response.StatusCode)
	}
}

// Whoever wants the rights of a user must not get those of the client when they
// end: grant_type refresh_token says so.
func TestARefusedRefreshTokenFallsBackUnlessNothingElseIsWanted(t *testing.T) {
	for name, test := range map[string]struct {
		fields string
		grants string
	}{
		"without a grant_type":          {"", "refresh_token client_credentials"},
		"with grant_type refresh_token": {"grant_type refresh_token", "refresh_token"},
	} {
		t.Run(name, func(t *testing.T) {
			auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
			llm := newLLM(t, auth, "client_a")
			g := startGateway(t, boundWith(auth, llm, "client_id client_a", "client_secret s", "refresh_token no-such-token-"+strings.ReplaceAll(name, " ", "-"), test.fields))
			a := g.post("/v1/x", "{}", withKey...)
			if test.fields == "" {
				a.wantStatus(t, http.StatusOK)
				llm.wantNoRefusals(t)
			} else {
				a.wantError(t, http.StatusBadGateway, "oauth2_authentication_error", "invalid_grant")
				if a.header.Get("X-Should-Retry") != "false" || llm.requests.Load() != 0 {
					t.Errorf("got %v, the LLM got %d requests", a.header, llm.requests.Load())
				}
				// The refusal is remembered.
				g.post("/v1/x", "{}", withKey...).wantError(t, http.StatusBadGateway, "oauth2_authentication_error", "invalid_grant")
			}
			var grants []string
			for _, form := range auth.sent() {
				grants = append(grants, form.Get("grant_type"))
			}
			if got := strings.Join(grants, " "); got != test.grants {
				t.Errorf("the token requests were %s, want %s", got, test.grants)
			}
		})
	}
}

// The gateway remembers that a refresh token was refused, and forgets the
// fallback when it is told that there is none.
func TestAFallbackEndsWhenItIsTakenOutOfTheConfiguration(t *testing.T) {
	auth := newAuthServer(t, oauthClient{id: "client_a", secret: "s"})
	llm := newLLM(t, auth, "client_a")
	fields := []string{"client_id client_a", "client_secret s", "refresh_token a-refused-token"}
	g := startGateway(t, boundWith(auth, llm, fields...))
	g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
	before := len(auth.sent())
	if err := g.load(boundWith(auth, llm, append(fields, "grant_type refresh_token")...)); err != nil {
		t.Fatal(err)
	}
	g.post("/v1/x", "{}", withKey...).wantError(t, http.StatusBadGateway, "oauth2_authentication_error", "invalid_grant")
	for _, form := range auth.sent()[before:] {
		if grant := form.Get("grant_type"); grant != "refresh_token" {
			t.Errorf("a token request had grant_type %s", grant)
		}
	}
}
