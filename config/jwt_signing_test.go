package config

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// answering is a token endpoint that gives the token T.
func answering() *stubEndpoint {
	return &stubEndpoint{status: http.StatusOK, header: http.Header{}, answer: `{"access_token":"T","expires_in":60}`}
}

// fetcherOf is what obtains the tokens of a valid provider from an endpoint.
func fetcherOf(t *testing.T, fields string, environment Environment, endpoint *stubEndpoint) tokens.Fetcher {
	t.Helper()
	providers, err := native(t, fields)
	if err != nil {
		t.Fatal(err)
	}
	if providers, err = providers.expand(environment); err != nil {
		t.Fatal(err)
	}
	if err := providers.validate(environment); err != nil {
		t.Fatal(err)
	}
	fetcher, err := providers.fetcher("p", environment, nil, func(c *tokens.Client) { c.Transport = endpoint })
	if err != nil {
		t.Fatal(err)
	}
	return fetcher
}

// form is what the endpoint was sent.
func (s *stubEndpoint) form(t *testing.T) url.Values {
	t.Helper()
	form, err := url.ParseQuery(s.body)
	if err != nil {
		t.Fatal(err)
	}
	return form
}

// assertionOf is the JWT with which a provider proves its identity, or its token.
func assertionOf(t *testing.T, fields string, environment Environment) string {
	t.Helper()
	endpoint := answering()
	token, err := fetcherOf(t, fields, environment, endpoint).Fetch(t.Context(), tokens.Want{})
	if err != nil {
		t.Fatal(err)
	}
	if endpoint.request == nil {
		return token.Value.Reveal()
	}
	form := endpoint.form(t)
	if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Get("client_id") != "i" || form.Has("client_secret") {
		t.Errorf("the endpoint was sent %v", form)
	}
	return form.Get("client_assertion")
}

func TestAJWTSaysWhatIsConfigured(t *testing.T) {
	files := signingFiles(t)
	environment := with(goldenEnvironment(), map[string]string{"LONG": hsKey, "ID": "id-of-env", "PS": "PS256", "ODD": "\"\\{env.ID}\n"})
	const at, claims = `1899999990`, `"iss":"i","sub":"i","aud":"https://idp.example.com/t","jti":"` + goldenUUID + `"`
	for name, test := range map[string]struct {
		fields         string
		key            any
		header, claims string
	}{
		"the client's identity by itself": {
			privateKey + `}`, rsaKey().Public(), `{"alg":"RS256","typ":"JWT"}`, `{` + claims + `,"iat":` + at + `,"exp":1900000290}`,
		},
		"claims in place of those": {
			privateKey + `,"claims":{"iss":"{env.ID}","aud":["a","{token_url}"],"sub":{"n":1.50},"jti":7}}`, rsaKey().Public(), `{"alg":"RS256","typ":"JWT"}`,
			`{"iss":"id-of-env","aud":["a","https://idp.example.com/t"],"sub":{"n":1.5},"jti":7,"iat":` + at + `,"exp":1900000290}`,
		},
		"an empty claim is left out": {
			privateKey + `,"claims":{"iss":"","aud":"","iat":"","jti":null,"exp":""}}`, rsaKey().Public(), `{"alg":"RS256","typ":"JWT"}`, `{"sub":"i"}`,
		},
		"times are numbers, within text they are text": {
			privateKey + `,"claims":{"sent":"{now}","ms":["{now_ms}"],"x":"at {now}","y":"5"}}`, rsaKey().Public(), `{"alg":"RS256","typ":"JWT"}`,
			`{` + claims + `,"iat":` + at + `,"exp":1900000290,"sent":1900000000,"ms":[1900000000000],"x":"at 1900000000","y":"5"}`,
		},
		"quotes and backslashes in a claim": {
			selfSigned + `"alg":"RS256","key_file":"<rsa>","claims":{"a\"\\":"b\"\\c\\{<&>","d":"{env.ODD}"}}`, rsaKey().Public(),
			`{"alg":"RS256","typ":"JWT"}`, `{"a\"\\":"b\"\\c{<&>","d":"\"\\{env.ID}\n","iat":` + at + `,"exp":1900000290}`,
		},
		"its life": {
			privateKey + `,"ttl":"1h","iat_skew":"90s"}`, rsaKey().Public(), `{"alg":"RS256","typ":"JWT"}`, `{` + claims + `,"iat":1899999910,"exp":1900003510}`,
		},
		"no skew": {
			privateKey + `,"iat_skew":"0"}`, rsaKey().Public(), `{"alg":"RS256","typ":"JWT"}`, `{` + claims + `,"iat":1900000000,"exp":1900000300}`,
		},
		"nbf and iat that are now lie in the past": {
			privateKey + `,"claims":{"nbf":"{now}","iat":"{now}"}}`, rsaKey().Public(), `{"alg":"RS256","typ":"JWT"}`, `{` + claims + `,"iat":` + at + `,"nbf":` + at + `,"exp":1900000290}`,
		},
		"so they do in milliseconds, and by another skew": {
			privateKey + `,"iat_skew":"1m","claims":{"nbf":"{now_ms}","iat":["{now_ms}"]}}`, rsaKey().Public(), `{"alg":"RS256","typ":"JWT"}`,
			`{` + claims + `,"iat":[1899999940000],"nbf":1899999940000,"exp":1900000240}`,
		},
		"nbf of a value of its own is taken as it is": {
			privateKey + `,"claims":{"nbf":1900000000,"iat":"{env.ID}"}}`, rsaKey().Public(), `{"alg":"RS256","typ":"JWT"}`, `{` + claims + `,"iat":"id-of-env","nbf":1900000000,"exp":1900000290}`,
		},
		"an empty nbf is left out": {
			privateKey + `,"claims":{"nbf":""}}`, rsaKey().Public(), `{"alg":"RS256","typ":"JWT"}`, `{` + claims + `,"iat":` + at + `,"exp":1900000290}`,
		},
		"a secret and a block with nothing but a skew of zero": {
			`"client_id":"i","client_secret":"{env.LONG}","token_url":"https://idp.example.com/t","auth_method":"client_secret_jwt","jwt":{"iat_skew":"0s"}`, []byte(hsKey),
			`{"alg":"HS256","typ":"JWT"}`, `{` + claims + `,"iat":1900000000,"exp":1900000300}`,
		},
		"an end in milliseconds": {
			privateKey + `,"exp_unit":"ms"}`, rsaKey().Public(), `{"alg":"RS256","typ":"JWT"}`, `{` + claims + `,"iat":` + at + `,"exp":1900000290000}`,
		},
		"headers": {
			privateKey + `,"key_id":"k","header":{"typ":"x","sign_type":"{env.ID}"}}`, rsaKey().Public(),
			`{"alg":"RS256","kid":"k","sign_type":"id-of-env","typ":"x"}`, `{` + claims + `,"iat":` + at + `,"exp":1900000290}`,
		},
		"the identifier of a JSON Web Key": {
			signer + `"alg":"{env.PS}","key_file":"<jwk>"}`, rsaKey().Public(), `{"alg":"PS256","kid":"kid-of-jwk","typ":"JWT"}`, `{` + claims + `,"iat":` + at + `,"exp":1900000290}`,
		},
		"another identifier of a JSON Web Key": {
			signer + `"alg":"RS256","key_file":"<jwk>","key_id":"{json.<account>#id}"}`, rsaKey().Public(), `{"alg":"RS256","kid":"k1","typ":"JWT"}`, `{` + claims + `,"iat":` + at + `,"exp":1900000290}`,
		},
		"an EC key": {
			signer + `"alg":"ES256","key_file":"<sec1>"}`, ecKey().Public(), `{"alg":"ES256","typ":"JWT"}`, `{` + claims + `,"iat":` + at + `,"exp":1900000290}`,
		},
		"an Ed25519 key": {
			signer + `"alg":"EdDSA","key_file":"<ed>"}`, edKey().Public(), `{"alg":"EdDSA","typ":"JWT"}`, `{` + claims + `,"iat":` + at + `,"exp":1900000290}`,
		},
		"a secret": {
			`"client_id":"i","client_secret":"{env.LONG}","token_url":"https://idp.example.com/t","auth_method":"client_secret_jwt"`, []byte(hsKey),
			`{"alg":"HS256","typ":"JWT"}`, `{` + claims + `,"iat":` + at + `,"exp":1900000290}`,
		},
		"a secret of a file and another algorithm": {
			`"client_id":"i","client_secret_file":"<long-secret>","token_url":"https://idp.example.com/t","auth_method":"client_secret_jwt","jwt":{"alg":"HS512","claims":{"aud":"x"}}`, []byte(longSecret),
			`{"alg":"HS512","typ":"JWT"}`, `{"iss":"i","sub":"i","aud":"x","jti":"` + goldenUUID + `","iat":` + at + `,"exp":1900000290}`,
		},
		"a token of our own says nothing by itself": {
			selfSigned + `"alg":"RS256","key_file":"<rsa>"}`, rsaKey().Public(), `{"alg":"RS256","typ":"JWT"}`, `{"iat":` + at + `,"exp":1900000290}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			atGoldenTime(t, func(t *testing.T) {
				parsed := opened(t, assertionOf(t, files.Replace(test.fields), environment), test.key)
				for what, part := range map[string]struct{ got, want any }{"header": {parsed.Header, test.header}, "claims": {parsed.Claims, test.claims}} {
					var want any
					if err := json.Unmarshal([]byte(part.want.(string)), &want); err != nil {
						t.Fatal(err)
					}
					compareJSON(t, what, part.got, want)
				}
			})
		})
	}
}

func TestAJWTNamesItsCertificate(t *testing.T) {
	files := signingFiles(t)
	for name, test := range map[string]struct {
		fields string
		want   []string
	}{
		"by SHA-256 by itself": {``, []string{"x5t#S256"}},
		"by SHA-256":           {`,"thumbprint":"x5t#S256"`, []string{"x5t#S256"}},
		"by SHA-1":             {`,"thumbprint":"x5t"`, []string{"x5t"}},
		"in whole":             {`,"thumbprint":"none","x5c":true`, []string{"x5c"}},
		"in both ways":         {`,"x5c":true`, []string{"x5c", "x5t#S256"}},
	} {
		t.Run(name, func(t *testing.T) {
			fields := files.Replace(privateKey + `,"certificate_file":"<certificate>"` + test.fields + `}`)
			header := opened(t, assertionOf(t, fields, testEnvironment()), rsaKey().Public()).Header
			delete(header, "alg")
			delete(header, "typ")
			if got := strings.Join(sorted(header), " "); got != strings.Join(test.want, " ") {
				t.Errorf("the header has %s", got)
			}
		})
	}
}

func TestEachAssertionIsANewOne(t *testing.T) {
	files := signingFiles(t)
	for name, test := range map[string]struct {
		fields string
		key    any
	}{
		"private_key_jwt":   {privateKey + `}`, rsaKey().Public()},
		"client_secret_jwt": {`"client_id":"i","client_secret":"` + hsKey + `","token_url":"https://x.com","auth_method":"client_secret_jwt"`, []byte(hsKey)},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint := answering()
			fetcher := fetcherOf(t, files.Replace(test.fields), DefaultEnvironment(), endpoint)
			seen := make(map[any]bool)
			for range 3 {
				if _, err := fetcher.Fetch(t.Context(), tokens.Want{}); err != nil {
					t.Fatal(err)
				}
				id := opened(t, endpoint.form(t).Get("client_assertion"), test.key).Claims.(jwt.MapClaims)["jti"]
				if text, _ := id.(string); len(text) != 36 || seen[id] {
					t.Errorf("the jti is %v, after %v", id, seen)
				}
				seen[id] = true
			}
		})
	}
}

func TestAJWTIsSignedForEachPlaceThatHoldsOne(t *testing.T) {
	files := signingFiles(t)
	endpoint := answering()
	fetcher := fetcherOf(t, files.Replace(noSecret+`,"token_request":{"headers":{"X":["a {jwt}"]},"body":{"a":{"b":["{jwt}"]}},"params":{"c":"{jwt}"}},
		"jwt":{"alg":"RS256","key_file":"<rsa>","claims":{"jti":"{uuid}","f":"{key_fingerprint}"}}`), DefaultEnvironment(), endpoint)
	if _, err := fetcher.Fetch(t.Context(), tokens.Want{}); err != nil {
		t.Fatal(err)
	}
	var body struct {
		A struct{ B []string }
		C string
	}
	if err := json.Unmarshal([]byte(endpoint.body), &body); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, signed := range []string{strings.TrimPrefix(endpoint.request.Header.Get("X"), "a "), body.A.B[0], body.C} {
		claims := opened(t, signed, rsaKey().Public()).Claims.(jwt.MapClaims)
		if seen[claims["jti"].(string)] || !strings.HasPrefix(claims["f"].(string), "SHA256:") {
			t.Errorf("got %v", claims)
		}
		seen[claims["jti"].(string)] = true
	}
}

func TestAnIdentityOfAnyLettersIsAJSONString(t *testing.T) {
	files := signingFiles(t)
	endpoint := answering()
	fetcher := fetcherOf(t, files.Replace(`"client_id":"a\"\\{b\\<","token_url":"https://idp.example.com/t?a=\"b","auth_method":"private_key_jwt","jwt":{"alg":"RS256","key_file":"<rsa>"}`), testEnvironment(), endpoint)
	if _, err := fetcher.Fetch(t.Context(), tokens.Want{}); err != nil {
		t.Fatal(err)
	}
	claims := opened(t, endpoint.form(t).Get("client_assertion"), rsaKey().Public()).Claims.(jwt.MapClaims)
	if claims["iss"] != `a"{b\<` || claims["sub"] != claims["iss"] || claims["aud"] != `https://idp.example.com/t?a="b` {
		t.Errorf("got %v", claims)
	}
}

func TestATokenOfOurOwnLivesAsLongAsItsJWT(t *testing.T) {
	files := signingFiles(t)
	atGoldenTime(t, func(t *testing.T) { checkOwnLives(t, files) })
}

func checkOwnLives(t *testing.T, files *strings.Replacer) {
	t.Helper()
	for fields, want := range map[string]time.Duration{
		``:                                5*time.Minute - 10*time.Second,
		`,"ttl":"59m"`:                    59*time.Minute - 10*time.Second,
		`,"ttl":"2h","exp_unit":"ms"`:     2*time.Hour - 10*time.Second,
		`,"iat_skew":"0"`:                 5 * time.Minute,
		`,"iat_skew":"4m59s"`:             time.Second,
		`,"ttl":"1h","claims":{"exp":""}`: time.Hour - 10*time.Second,
		`,"ttl":"1h","claims":{"exp":1900000060}`: time.Minute,
	} {
		token, err := fetcherOf(t, files.Replace(selfSigned+`"alg":"RS256","key_file":"<rsa>"`+fields+`}`), testEnvironment(), nil).Fetch(t.Context(), tokens.Want{})
		if err != nil || token.Lifetime != want {
			t.Errorf("%s: got %v, %v", fields, token.Lifetime, err)
		}
	}
	token, err := fetcherOf(t, files.Replace(selfSigned+`"alg":"RS256","key_file":"<rsa>"},"token_response":{"max_ttl":"1m"}`), testEnvironment(), nil).Fetch(t.Context(), tokens.Want{})
	if err != nil || token.Lifetime != time.Minute {
		t.Errorf("got %v, %v", token.Lifetime, err)
	}
}

func TestATokenThatIsMissingInAClaimIsTheOtherProvidersFailure(t *testing.T) {
	files := signingFiles(t)
	cause := &tokens.AuthenticationError{Provider: "q", Code: tokens.CodeInvalidClient}
	environment := testEnvironment()
	endpoint := answering()
	providers, err := native(t, files.Replace(privateKey+`,"claims":{"a":{"b":["{token.q}"]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	providers["q"] = valid(t, "")
	if err := providers.validate(environment); err != nil {
		t.Fatal(err)
	}
	environment.Token = func(context.Context, string) (tokens.Secret, error) { return tokens.Secret{}, cause }
	fetcher, err := providers.fetcher("p", environment, nil, func(c *tokens.Client) { c.Transport = endpoint })
	if err != nil {
		t.Fatal(err)
	}
	_, err = fetcher.Fetch(t.Context(), tokens.Want{})
	if failed, ok := errors.AsType[*tokens.AuthenticationError](err); !ok || failed.Needs != "q" || !errors.Is(err, cause) || endpoint.request != nil {
		t.Errorf("got %v", err)
	}
}
