package providerblock

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// readBlock parses a provider block.
func readBlock(t *testing.T, block, name string) *config.Provider {
	t.Helper()
	d := caddyfile.NewTestDispenser(block)
	d.Next()
	var got string
	if !d.AllArgs(&got) || got != name {
		t.Fatalf("the block is of %q", got)
	}
	p, err := Parse(d, name)
	if err != nil {
		t.Fatalf("%v, in\n%s", err, block)
	}
	return p
}

func wantSame(t *testing.T, got, want *config.Provider, block string) {
	t.Helper()
	if config.Equal(got, want) {
		return
	}
	gotText, _ := json.Marshal(got)
	wantText, _ := json.Marshal(want)
	t.Errorf("the block\n%s\nreads as\n%s, want\n%s", block, gotText, wantText)
}

// What `caddy oauth2-llm presets <name>` prints must be the preset, and a block
// that can be written by hand.
func TestAPresetReadsAsWhatItIsWrittenAs(t *testing.T) {
	for name, preset := range config.Presets() {
		t.Run(name, func(t *testing.T) {
			block := Format("p", preset.Provider)
			withVars := "provider p {\n"
			for _, variable := range slices.Sorted(maps.Keys(preset.Vars)) {
				value := "x"
				if standard := preset.Vars[variable].Default; standard != "" {
					value = string(standard)
				}
				withVars += "\tvar " + variable + " " + value + "\n"
			}
			withVars += strings.TrimPrefix(block, "provider p {\n")
			got := readBlock(t, withVars, "p")
			got.Vars = nil
			wantSame(t, got, preset.Provider, block)
		})
	}
}

func TestEveryFieldReadsAsItIsWritten(t *testing.T) {
	var all config.Providers
	if err := json.Unmarshal([]byte(`{"p":{
		"client_id":"i","client_secret_file":"/run/secret","token_url":"https://login.example.com/t","scope":"a b","refresh_token":"r",
		"auth_method":"client_secret_basic","grant_type":"client_credentials",
		"token_request":{"params":{"a":"with space","b":""},"headers":{"X-A":["1","2"]},"method":"PUT","body":{"n":{"l":[1,true,"{env.X}"]}},
			"timeout":"1m30s","retries":0,"retry_on":[404,410],"encoding":"json","transport":{"protocol":"http","tls":{"client_certificate_file":"/c","client_certificate_key_file":"/k"}}},
		"token_response":{"token":["a","header:X-T"],"expiry":[{"path":"e","unit":"unix"},{"path":"f","unit":"auto"}],"default_ttl":"1h","max_ttl":"2h0m5s"},
		"jwt":{"alg":"RS256","key":"{env.KEY}","key_id":"k","certificate_file":"/cert","thumbprint":"x5t","x5c":true,"claims":{"iss":"i","aud":["a","b"],"iat":""},
			"header":{"sign_type":"SIGN"},"ttl":"1h","exp_unit":"ms","iat_skew":"1m"},
		"refresh_before":"5m","base_url":"https://llm.example.com/v1","models":{"m":{},"n":{"upstream":"u","base_url":"https://n.example.com"}},
		"paths":["/v1/*"],"place":{"header":"X-Token","prefix":"T "},
		"header_up":{"set":{"A":["#1"]},"add":{"B":["say \"hi\""]},"default":{"C":["c"]},"delete":["D"]}}}`), &all); err != nil {
		t.Fatal(err)
	}
	p := all["p"]
	// Two ways to the same end, which Validate would refuse side by side.
	p.TokenRequest.Params = map[string]config.Template{"a": "with space"}
	p.AuthMethod = "private_key_jwt"
	p.ClientSecretFile = ""
	block := Format("p", p)
	wantSame(t, readBlock(t, block, "p"), p, block)

	// A skew of zero is not the default.
	exact := &config.Provider{Source: "self_signed", JWT: config.JWT{Alg: "RS256", KeyFile: "/key", IatSkew: new(config.Skew(0))}}
	block = Format("e", exact)
	wantSame(t, readBlock(t, block, "e"), exact, block)
	if byHand := readBlock(t, "provider e {\n source self_signed\n jwt {\n alg RS256\n key_file /key\n iat_skew 0\n }\n}", "e"); byHand.JWT.IatSkew == nil || *byHand.JWT.IatSkew != 0 {
		t.Errorf("iat_skew 0 reads as %v", byHand.JWT.IatSkew)
	}

	query := &config.Provider{Source: "file /run/secrets/token", Place: config.Place{Query: "access_token"}}
	block = Format("q", query)
	wantSame(t, readBlock(t, block, "q"), query, block)
}
