package config

import (
	"encoding/json"
	"testing"
)

// What tokens and refresh tokens are stored under must stay the same in all versions: a
// changed name loses them at an upgrade.
func TestStoredNamesStayTheSame(t *testing.T) {
	for name, test := range map[string]struct{ others, fields, fingerprint, identity string }{
		"a plain client":       {"", validFields, "11915b7ec301193cdbbcba450f6464899758060b48c1e3cd202e589955259919", "74953ca1a7625caa32575ff3705abdf3"},
		"everything in it":     {"", validFields + `,"scope":"a b","refresh_token":"r","auth_method":"client_secret_basic","grant_type":"x","token_request":{"params":{"b":"1","a":"{now}{uuid}"},"headers":{"x-a":["1","2"]},"method":"PUT","retry_on":[404],"timeout":"3s"},"token_response":{"token":["a.b"],"default_ttl":"1m"},"place":{"header":"X"}`, "b2fb8ba851fdcf7fa75a487ecea8765d0065eed5759a75cce6697745030b32df", "76e55499b5b5d910b513d8d482c95bc9"},
		"a JSON body":          {"", validFields + `,"token_request":{"body":{"z":{"a":[1,"{env.ID}"]},"b":null}}`, "6003a62728e26204f474824dcdbb02a84d493e2c5c4a06ca920dc94c6dd414ce", "ccdb147aa186a2126cc3705c5d562410"},
		"a signed JWT":         {"", `"client_id":"id","client_secret":"{env.SECRET}","token_url":"https://idp.example.com/token","auth_method":"client_secret_jwt","jwt":{"ttl":"2m","claims":{"x":["{uuid}"]},"header":{"typ":"JWT"}}`, "545e40bf6cc481c708ed607b58cf75eaac4378a342c6d63e55296203518505be", "19ee6f409f2055f530c7d8f86ef65a47"},
		"a preset":             {"", `"preset":"azure_openai","vars":{"tenant":"t"},"client_id":"id","client_secret":"s"`, "aef5bd1275c081cc7ccafffe726e34764b09781bc80b8a34482bcd38242eeb68", "26f3235c091fc698d93d84811c1933de"},
		"the token of another": {`,"q":{` + validFields + `}`, validFields + `,"token_request":{"params":{"actor_token":"{token.q}"}}`, "b653dac70ed142943e43868c47cd53efbcfc5b9a0998268307f81eae91ea4a05", "ca1c74aa26cafb69c40ba18a6b27f942"},
		"a self-signed token":  {"", `"source":"self_signed","jwt":{"alg":"HS256","key":"0123456789abcdef0123456789abcdef"}`, "31e02ab8576a412bd09d9de1d71e923cf51bb6ab5670eed6675f5bf7feff62cf", "not shareable"},
	} {
		t.Run(name, func(t *testing.T) {
			var all Providers
			if err := json.Unmarshal([]byte(`{"p":{`+test.fields+`}`+test.others+`}`), &all); err != nil {
				t.Fatal(err)
			}
			all, err := all.expand(testEnvironment())
			if err != nil {
				t.Fatal(err)
			}
			fingerprint, err := all.fingerprint("p", testEnvironment())
			if err != nil || fingerprint != test.fingerprint {
				t.Errorf("the fingerprint is %s, %v, want %s", fingerprint, err, test.fingerprint)
			}
			identity := "not shareable"
			if read, err := all.identity("p", testEnvironment()); err == nil {
				read, err := read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				identity = read.ID()
			}
			if identity != test.identity {
				t.Errorf("the identity is %s, want %s", identity, test.identity)
			}
		})
	}
}
