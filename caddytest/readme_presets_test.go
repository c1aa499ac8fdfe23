package caddytest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

var (
	shownFile     = regexp.MustCompile(`(?:/var)?/run/secrets/[A-Za-z0-9_./-]+|/etc/ssl/[A-Za-z0-9_./-]+|\{env\.HOME\}/[A-Za-z0-9_./-]+`)
	shownVariable = regexp.MustCompile(`\{env\.([A-Z0-9_]+)\}`)
)

// exampleFiles are the contents of files by their names: a key and its certificate
// in each .pem, the members of all key files in each .json, else a secret.
func exampleFiles(t *testing.T) func(name string) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	members, _ := json.Marshal(map[string]string{
		"client_id": "i", "client_secret": "s", "refresh_token": "r", "clientid": "i", "clientsecret": "s", "id": "k",
		"client_email": "sa@p", "private_key_id": "k", "service_account_id": "a", "private_key": string(pkcs1),
		"url": "https://login.example.com", "certurl": "https://login.cert.example.com",
	})
	return func(name string) []byte {
		switch filepath.Ext(name) {
		case ".pem":
			return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), pkcs1...)
		case ".json":
			return members
		}
		return []byte("a-secret-of-32-bytes-or-a-token-")
	}
}

// withShownFiles makes the files that an example refers to, in a folder of the
// test, and sets the variables that it needs.
func withShownFiles(t *testing.T, example string) string {
	t.Helper()
	folder, content := t.TempDir(), exampleFiles(t)
	example = shownFile.ReplaceAllStringFunc(example, func(shown string) string {
		path := filepath.Join(folder, filepath.Base(shown))
		if err := os.WriteFile(path, content(path), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	})
	for _, match := range shownVariable.FindAllStringSubmatch(example, -1) {
		t.Setenv(match[1], "value-of-"+match[1])
	}
	t.Setenv("AZURE_TENANT_ID", "tenant")
	t.Setenv("AZURE_CLIENT_ID", "client")
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", filepath.Join(folder, "federated"))
	t.Setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token")
	t.Setenv("IDENTITY_HEADER", "header")
	if err := os.WriteFile(filepath.Join(folder, "federated"), []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	return example
}

// Every preset has an example in the README that a server loads as it stands, and
// a row in its table.
func TestTheREADMEShowsEveryPreset(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	for _, block := range readmeBlocks(t, "caddyfile") {
		named := regexp.MustCompile(`\bpreset (\w+)`).FindAllStringSubmatch(block, -1)
		if len(named) == 0 && !strings.Contains(block, "token_response") {
			continue
		}
		for _, match := range named {
			shown[match[1]] = true
		}
		example := withShownFiles(t, block)
		if err := validateCaddyfile(t.TempDir(), strings.Replace(example, "{\n", "{\n\tadmin off\n\tauto_https off\n", 1)); err != nil {
			t.Errorf("%v\n%s", err, block)
		}
	}
	for name, preset := range config.Presets() {
		if !shown[name] {
			t.Errorf("no example shows %s", name)
		}
		rows := regexp.MustCompile("(?m)^\\| `"+name+"` \\|.*$").FindAllString(string(readme), -1)
		if len(rows) != 1 {
			t.Errorf("the table has %d rows for %s", len(rows), name)
			continue
		}
		for _, want := range needsOf(preset) {
			if !strings.Contains(rows[0], "`"+want+"`") {
				t.Errorf("the row of %s does not say that it needs %s", name, want)
			}
		}
		if !strings.Contains(rows[0], "| "+preset.Description+" |") || !strings.Contains(rows[0], preset.Unverified) {
			t.Errorf("the row of %s says something else than the preset: %s", name, rows[0])
		}
	}
}

// needsOf lists what a preset needs, as the README's table spells it.
func needsOf(preset *config.Preset) []string {
	var needs []string
	for name := range preset.Vars {
		needs = append(needs, "var "+name)
	}
	for _, field := range slices.Concat(preset.Fields, preset.OptionalFields) {
		needs = append(needs, strings.ReplaceAll(field, ".", " "))
	}
	return needs
}
