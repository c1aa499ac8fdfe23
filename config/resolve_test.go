package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestAResolvedProviderKnowsWhatItsUsersNeed(t *testing.T) {
	declared, err := native(t, validFields+`,"base_url":"http://llm.example.com/v1","place":{"header":"X-Token"},
		"header_up":{"set":{"X-Group":["{env.ID}"]}},"token_request":{"retries":5},"refresh_before":"1m"`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := declared.Resolve(testEnvironment(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := all["p"]
	if r.Name != "p" || r.Declared != declared["p"] || len(r.Fingerprint) != 64 || r.Retries != 5 || r.RefreshBefore != time.Minute {
		t.Errorf("got %s, fingerprint %q, %d retries, refresh before %s", r.Name, r.Fingerprint, r.Retries, r.RefreshBefore)
	}
	if got := r.HeaderUp.Set.Get("X-Group"); r.Place != (EffectivePlace{Header: "X-Token"}) || got != "id-of-env" {
		t.Errorf("got the place %+v, and %q in X-Group", r.Place, got)
	}
	if host := r.BaseURLs.Default.Host(); host.Host != "llm.example.com" || len(r.Warnings) != 1 || r.Warnings[0].Field != "base_url" {
		t.Errorf("got the host %s and the warnings %v", host, r.Warnings)
	}
	if r.Identity == nil || r.NotShareable != "" || r.SecretsDigest == nil {
		t.Errorf("it is not shareable: %s", r.NotShareable)
	}
	if r.Fetcher(zap.NewNop(), nil) == nil {
		t.Error("nothing obtains its token")
	}
}

func TestResolvingFindsTheFaultsOfAllProviders(t *testing.T) {
	resolved, err := Providers{
		"a": {ClientID: "id", ClientSecret: "{env.UNSET}", TokenURL: "https://idp.example.com/token"},
		"b": {ClientID: "id", ClientSecret: "s", TokenURL: "ftp://CANARY"},
		"c": nil,
		"d": valid(t, ""),
	}.Resolve(testEnvironment(), nil)
	if resolved != nil {
		t.Errorf("got %v", sorted(resolved))
	}
	for _, want := range []string{
		"provider a: client_secret: unresolved reference: the environment variable UNSET is not set",
		"provider b: token_url: must begin with https://",
		"provider c: the provider has no fields",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "provider d") {
		t.Errorf("a provider without a fault is named: %v", err)
	}
	wantNoCanary(t, err)
}

func TestAProviderMayNeedTheTokenOfOneThatIsKnown(t *testing.T) {
	known, err := Providers{"first": valid(t, "")}.Resolve(testEnvironment(), nil)
	if err != nil {
		t.Fatal(err)
	}
	second := Providers{"p": valid(t, `"token_request":{"params":{"actor":"{token.first}"}}`)}
	resolved, err := second.Resolve(testEnvironment(), known)
	if err != nil || len(resolved) != 1 || resolved["p"] == nil {
		t.Errorf("got %v, %v", sorted(resolved), err)
	}
	_, err = second.Resolve(testEnvironment(), nil)
	wantError(t, err, "token_request.params.actor", "first")
}

func TestAFaultFoundLaterSaysWhereItsFieldStands(t *testing.T) {
	declared := inFile(t, "a.json", fileFields+",\n"+`"transport":{"protocol":"CANARY"}`)
	resolved, err := declared.Resolve(testEnvironment(), nil)
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("unknown module")
	for field, want := range map[string]string{
		"transport": "a.json:2:1: provider p: transport: unknown module",
		"":          "a.json:1:22: provider p: unknown module",
	} {
		err := resolved["p"].Fault(field, cause)
		wantError(t, err, field)
		if err.Error() != want || !errors.Is(err, cause) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
