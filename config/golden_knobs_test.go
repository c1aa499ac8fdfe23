package config

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// checkKnobs looks at what neither a request nor an answer shows.
func checkKnobs(t *testing.T, entry *goldenEntry, provider *Provider) {
	t.Helper()
	response := provider.TokenResponse
	if entry.DefaultTTL != 0 && time.Duration(response.DefaultTTL) != time.Duration(entry.DefaultTTL)*time.Second {
		t.Errorf("default_ttl is %v, want %d s", time.Duration(response.DefaultTTL), entry.DefaultTTL)
	}
	if entry.MaxTTL != 0 && time.Duration(response.MaxTTL) != time.Duration(entry.MaxTTL)*time.Second {
		t.Errorf("max_ttl is %v, want %d s", time.Duration(response.MaxTTL), entry.MaxTTL)
	}
	if certified := strings.Contains(string(provider.TokenRequest.Transport), "client_certificate_file"); certified != entry.TLS {
		t.Errorf("the token request shows a certificate: %t, want %t", certified, entry.TLS)
	}
	// Facts of the reference that the catalogue has no field for.
	switch entry.Name {
	case "openai_wif_x509":
		if !strings.Contains(string(provider.Transport), "client_certificate_file") {
			t.Error("the LLM is shown no certificate")
		}
	case "vertex_metadata":
		if time.Duration(provider.RefreshBefore) != 225*time.Second {
			t.Errorf("refresh_before is %v", time.Duration(provider.RefreshBefore))
		}
	case "azure_openai_imds":
		if !slices.Equal(provider.TokenRequest.RetryOn, []int{http.StatusNotFound, http.StatusGone}) {
			t.Errorf("retry_on is %v", provider.TokenRequest.RetryOn)
		}
	}
}

// A preset that proves who asks without a secret sends none that it is given.
func TestASecretIsRefusedWhereNoneIsSent(t *testing.T) {
	dir := t.TempDir()
	writeGoldenFiles(t, dir)
	for _, name := range []string{"azure_openai_cert", "azure_openai_federated", "sap_ai_core_x509", "databricks_federation", "okta_private_key_jwt"} {
		p := goldenProviders(t, dir)[name]
		p.ClientSecret = "{env.IDENTITY_HEADER}"
		all, err := Providers{"p": p}.expand(goldenEnvironment())
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, all.validate(goldenEnvironment()), "client_secret", "does not send it")
	}
}

// What a preset leaves to its user is missed by name.
func TestAFieldThatAPresetNeedsIsMissed(t *testing.T) {
	dir := t.TempDir()
	writeGoldenFiles(t, dir)
	for entry, p := range goldenProviders(t, dir) {
		if p.Preset == "" {
			continue
		}
		for _, field := range Presets()[p.Preset].Fields {
			all := Providers{"p": goldenProviders(t, dir)[entry], "google_sts_wif": goldenProviders(t, dir)["google_sts_wif"]}
			visit(reflect.ValueOf(all["p"]).Elem(), "", func(path string, v reflect.Value) bool {
				if path == field {
					v.SetZero()
				}
				return path == field
			})
			all, err := all.expand(goldenEnvironment())
			if err != nil {
				t.Fatal(err)
			}
			if err := all.validate(goldenEnvironment()); err == nil || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "required, but missing") {
				t.Errorf("%s without %s: %v", entry, field, err)
			}
		}
	}
}
