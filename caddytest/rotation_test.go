package caddytest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// Secrets in files are replaced while the gateway runs, by an operator or by a
// sidecar, and nobody reloads it then.

// A rotated secret is a file that a token request is made of.
type rotated struct {
	file, old, next string
	// fields are those of the provider that refer to the file, in field.
	fields, field string
	// accept makes the server take one content of the file and no other.
	accept func(auth *authServer, content string)
	// exchange is set if the file is the subject token of an exchange.
	exchange bool
}

func rotations(t *testing.T) map[string]rotated {
	t.Helper()
	oldKey, nextKey := newSigningKey(t, "ES256"), newSigningKey(t, "ES256")
	keys := map[string]*signingKey{oldKey.file("PKCS#8"): oldKey, nextKey.file("SEC 1"): nextKey}
	return map[string]rotated{
		"the key of private_key_jwt": {
			file: "key.pem", old: oldKey.file("PKCS#8"), next: nextKey.file("SEC 1"),
			field:  "jwt.key_file",
			fields: "auth_method private_key_jwt\njwt {\nalg ES256\nkey_file {{folder}}/key.pem\n}",
			accept: func(auth *authServer, content string) {
				auth.register(oauthClient{id: "client_a", key: keys[content], method: goidc.AuthnMethodPrivateKeyJWT})
			},
		},
		"the client's secret": {
			file: "secret", old: "the-old-secret", next: "the-next-secret",
			field:  "client_secret",
			fields: "client_secret {file.{{folder}}/secret}",
			accept: func(auth *authServer, content string) { auth.register(oauthClient{id: "client_a", secret: content}) },
		},
		"the subject token of an exchange": {
			file: "subject-token", old: "the-old-subject-token", next: "the-next-subject-token",
			field: "token_request.params.subject_token",
			fields: "auth_method none\ngrant_type urn:ietf:params:oauth:grant-type:token-exchange\ntoken_request {\n" +
				"param subject_token {file.{{folder}}/subject-token}\nparam subject_token_type urn:ietf:params:oauth:token-type:jwt\n}",
			// Behind the exchange the subject token is the client's secret.
			accept:   func(auth *authServer, content string) { auth.register(oauthClient{id: "client_a", secret: content}) },
			exchange: true,
		},
	}
}

// newExchange is a token endpoint that gives tokens of an authorization server
// for subject tokens (RFC 8693), which that server itself does not do.
func newExchange(t *testing.T, auth *authServer) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		response, err := http.PostForm(auth.tokenURL(), url.Values{
			"grant_type": {"client_credentials"}, "client_id": {r.PostFormValue("client_id")}, "client_secret": {r.PostFormValue("subject_token")},
		})
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	}))
	t.Cleanup(server.Close)
	return server
}

// start runs a gateway that uses the old content, which the server takes.
func (r rotated) start(t *testing.T) (*gateway, *authServer, *llmStandIn) {
	t.Helper()
	auth := newAuthServer(t, oauthClient{id: "client_a"})
	r.accept(auth, r.old)
	llm := newLLM(t, auth, "client_a")
	endpoint := auth.tokenURL()
	if r.exchange {
		endpoint = newExchange(t, auth).URL
	}
	return startGatewayWith(t, boundFrom(endpoint, llm, "client_id client_a", r.fields), map[string]string{r.file: r.old + "\n"}), auth, llm
}

func TestAReplacedFileIsUsedByTheNextTokenRequest(t *testing.T) {
	for name, secret := range rotations(t) {
		t.Run(name, func(t *testing.T) {
			g, auth, llm := secret.start(t)
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			secret.accept(auth, secret.next)
			g.write(secret.file, secret.next+"\n")
			// The token that was got with the old content serves until its end.
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			if n := auth.tokenRequests.Load(); n != 1 {
				t.Errorf("%d token requests before the token ended", n)
			}
			auth.revoke(llm.lastRequest().header.Get("Authorization"))
			g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
			if n := auth.tokenRequests.Load(); n != 2 {
				t.Errorf("%d token requests, want 2", n)
			}

			// The server is first, the file comes late: the refusal, which is
			// remembered for half a minute, ends with it.
			secret.accept(auth, secret.old)
			auth.revoke(llm.lastRequest().header.Get("Authorization"))
			if a := g.post("/v1/x", "{}", withKey...); a.status != http.StatusBadGateway {
				t.Errorf("status %d, body %s", a.status, a.body)
			}
			g.write(secret.file, secret.old+"\n")
			waitFor(t, 10*time.Second, func() bool { return g.post("/v1/x", "{}", withKey...).status == http.StatusOK })
			if n := auth.tokenRequests.Load(); n != 4 {
				t.Errorf("%d token requests, want 4", n)
			}
		})
	}
}

// What goes wrong while a secret is replaced must be seen in the log while the
// old token still serves, not when it has ended.
func TestAFileThatIsNoUseLeavesTheValidTokenServing(t *testing.T) {
	const canary = "canary-9-in-a-file"
	rsaKey := newSigningKey(t, "RS256").file("PKCS#8")
	wrong := map[string]struct {
		content string
		// of names the rotation that this is a case of, all of them if it is empty.
		of string
		// sent says that only the server can tell that it is wrong.
		sent bool
	}{
		"nothing":                 {},
		"no file":                 {},
		"no key":                  {content: canary, of: "the key of private_key_jwt"},
		"half a key":              {content: rsaKey[:len(rsaKey)/2], of: "the key of private_key_jwt"},
		"a key of another kind":   {content: rsaKey, of: "the key of private_key_jwt"},
		"a key that nobody knows": {content: newSigningKey(t, "ES256").file("PKCS#8"), of: "the key of private_key_jwt", sent: true},
		"another secret":          {content: canary, of: "the client's secret", sent: true},
		"another subject token":   {content: canary, of: "the subject token of an exchange", sent: true},
	}
	for name, secret := range rotations(t) {
		for what, replaced := range wrong {
			if replaced.of != "" && replaced.of != name {
				continue
			}
			t.Run(name+" becomes "+what, func(t *testing.T) {
				g, auth, llm := secret.start(t)
				auth.refreshIn.Store(1)
				spoil := func() {
					path := g.write(secret.file, replaced.content)
					if what == "no file" {
						if err := os.Remove(path); err != nil {
							t.Fatal(err)
						}
					}
				}
				refusals := int64(0)
				if replaced.sent {
					refusals = 1
				}

				// There is no token yet.
				spoil()
				a := g.post("/v1/x", "{}", withKey...)
				status, kind := http.StatusInternalServerError, "oauth2_configuration_error"
				if replaced.sent {
					status, kind = http.StatusBadGateway, "oauth2_authentication_error"
				}
				if a.status != status || !strings.Contains(a.body, kind) || a.header.Get("X-Should-Retry") != "false" {
					t.Errorf("status %d, %v, body %s; want %d with %s", a.status, a.header, a.body, status, kind)
				}
				g.write(secret.file, secret.old)
				waitFor(t, 10*time.Second, func() bool { return g.post("/v1/x", "{}", withKey...).status == http.StatusOK })

				// There is one, and the server has said that it should be replaced soon.
				spoil()
				waitFor(t, 10*time.Second, func() bool {
					g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
					return strings.Contains(g.log(), "no new access token, the one in hand serves on")
				})
				if n := auth.tokenRequests.Load(); n != 1+2*refusals {
					t.Errorf("%d token requests, want %d", n, 1+2*refusals)
				}
				log := g.log()
				if !replaced.sent && !strings.Contains(log, "provider corp: "+secret.field+": ") {
					t.Error("the log does not name the field")
				}
				if replaced.content == "" && !strings.Contains(log, filepath.Join(g.folder, secret.file)) {
					t.Error("the log does not name the file")
				}
				if strings.Contains(log, canary) || strings.Contains(a.body, canary) {
					t.Error("what stood in the file is shown")
				}

				secret.accept(auth, secret.next)
				g.write(secret.file, secret.next)
				waitFor(t, 10*time.Second, func() bool {
					g.post("/v1/x", "{}", withKey...).wantStatus(t, http.StatusOK)
					return auth.tokenRequests.Load() == 2+2*refusals
				})
				llm.wantNoRefusals(t)
			})
		}
	}
}
