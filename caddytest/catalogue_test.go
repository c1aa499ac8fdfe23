package caddytest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The catalogue of token endpoints, which package config has golden tests of, once
// more through a running gateway: 52 providers in one configuration, and a request
// to the LLM of each.

const catalogueFolder = "../config/testdata/providers/"

// A catalogueEntry is what an entry says of the answer and of LLM requests.
type catalogueEntry struct {
	Name      string            `json:"name"`
	Status    int               `json:"status"`
	Headers   map[string]string `json:"resp_headers"`
	Answer    string            `json:"resp"`
	TLS       bool              `json:"tls"`
	Want      []any             `json:"want"`
	UpHeaders map[string]string `json:"up_headers"`
	Place     *struct{ Header, Query string }
}

func readCatalogue(t *testing.T, name string, into any) {
	t.Helper()
	content, err := os.ReadFile(catalogueFolder + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}

// A catalogueEndpoint answers /<name> as the catalogue's entry of that name does.
type catalogueEndpoint struct {
	entries map[string]catalogueEntry
	mu      sync.Mutex
	asked   map[string]int
}

var jwtExp = regexp.MustCompile(`\{JWT_EXP_(\d+)\}`)

func (c *catalogueEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	entry := c.entries[strings.TrimPrefix(r.URL.Path, "/")]
	c.mu.Lock()
	c.asked[entry.Name]++
	c.mu.Unlock()
	for name, value := range entry.Headers {
		w.Header().Set(name, value)
	}
	if entry.Status != 0 {
		w.WriteHeader(entry.Status)
	}
	_, _ = io.WriteString(w, jwtExp.ReplaceAllStringFunc(entry.Answer, func(match string) string {
		seconds, _ := strconv.Atoi(jwtExp.FindStringSubmatch(match)[1])
		claims := fmt.Sprintf(`{"exp":%d}`, time.Now().Unix()+int64(seconds))
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(claims)) + ".c2ln"
	}))
}

// catalogueProviders are the catalogue's configurations, with their token endpoint
// and their LLM on loopback.
func catalogueProviders(t *testing.T, endpoint *catalogueEndpoint, upstream string) map[string]map[string]any {
	t.Helper()
	ca, folder, content := newAuthority(t), t.TempDir(), exampleFiles(t)
	for name, text := range ca.files() {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var raw json.RawMessage
	readCatalogue(t, "configurations.json", &raw)
	for _, match := range regexp.MustCompile(`\{DIR\}/([a-z0-9.]+)`).FindAllStringSubmatch(string(raw), -1) {
		if err := os.WriteFile(filepath.Join(folder, match[1]), content(match[1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var all map[string]map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(raw), "{DIR}", folder)), &all); err != nil {
		t.Fatal(err)
	}
	plain, secured := httptest.NewServer(endpoint), httptest.NewUnstartedServer(endpoint)
	secured.TLS = ca.serverConfig()
	secured.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(secured.Close)
	for name, provider := range all {
		provider["base_url"] = upstream + "/" + name
		entry := endpoint.entries[name]
		switch {
		case entry.Answer == "":
			continue // no token endpoint is asked
		case entry.TLS:
			provider["token_url"] = secured.URL + "/" + name
			provider["token_request"] = map[string]any{"transport": map[string]any{"protocol": "http", "tls": map[string]any{
				"client_certificate_file":     filepath.Join(folder, "client.pem"),
				"client_certificate_key_file": filepath.Join(folder, "client-key.pem"),
				"ca":                          map[string]any{"provider": "file", "pem_files": []string{filepath.Join(folder, "ca.pem")}},
			}}}
			provider["transport"] = map[string]any{"protocol": "http"}
		default:
			provider["token_url"] = plain.URL + "/" + name
		}
	}
	return all
}

func TestEveryProviderOfTheCatalogueDecoratesLLMRequests(t *testing.T) {
	t.Setenv("IDENTITY_ENDPOINT", "http://127.0.0.1/unused")
	t.Setenv("IDENTITY_HEADER", "header")
	var entries []catalogueEntry
	readCatalogue(t, "catalog.json", &entries)
	endpoint := &catalogueEndpoint{entries: make(map[string]catalogueEntry), asked: make(map[string]int)}
	for _, entry := range entries {
		endpoint.entries[entry.Name] = entry
	}
	up := newUpstream(t, nil)
	providers, err := json.Marshal(map[string]any{"oauth2_providers": catalogueProviders(t, endpoint, up.URL)})
	if err != nil {
		t.Fatal(err)
	}
	g := startGatewayWith(t, `
{
	{{global}}
	oauth2_llm {
		config_file {{folder}}/litellm_config.json
	}
}
{{site}} {
	oauth2_llm {
		client_key agents gateway-key
	}
	reverse_proxy {
		dynamic oauth2_llm
		transport oauth2_llm
	}
}`, map[string]string{"litellm_config.json": string(providers)})

	for _, entry := range entries {
		t.Run(entry.Name, func(t *testing.T) {
			g.post("/v1/chat/completions?access_token=evil", chat(entry.Name+"/m"), "Api-Key", "gateway-key",
				"Authorization", "Bearer evil", "X-Api-Key", "evil", "X-Auth-Token", "kept", "Anthropic-Beta", "of-the-client").wantStatus(t, http.StatusOK)
			entry.checkRequest(t, up.last(t))
		})
	}
	for name, entry := range endpoint.entries {
		want := 1
		if entry.Answer == "" {
			want = 0
		}
		if endpoint.asked[name] != want {
			t.Errorf("%s: %d token requests, want %d", name, endpoint.asked[name], want)
		}
	}
}

// checkRequest looks at an LLM request that arrived: the token in its place, the
// companion headers, and nothing that the client had in theirs.
func (e catalogueEntry) checkRequest(t *testing.T, got received) {
	t.Helper()
	want := maps.Clone(e.UpHeaders)
	if want == nil {
		want = map[string]string{}
	}
	var token string
	uri := got.uri
	switch {
	case e.Place != nil && e.Place.Query != "":
		uri, token, _ = strings.Cut(got.uri, "?"+e.Place.Query+"=")
	case e.Place != nil:
		token = got.header.Get(e.Place.Header)
		want[e.Place.Header] = token
	default:
		token = strings.TrimPrefix(got.header.Get("Authorization"), "Bearer ")
		want["Authorization"] = "Bearer " + token
	}
	if wanted := e.Want[0]; wanted != "~jwt" && token != wanted || wanted == "~jwt" && strings.Count(token, ".") != 2 && e.Name != "k8s_file" {
		t.Errorf("the token is %q, want %v", token, wanted)
	}
	if uri != "/"+e.Name+"/chat/completions" {
		t.Errorf("the request arrived at %s", got.uri)
	}
	for name, value := range want {
		if appended, ok := strings.CutPrefix(value, "+"); ok {
			value = "of-the-client," + appended
		}
		if arrived := strings.Join(got.header.Values(name), ","); arrived != value || value == "" {
			t.Errorf("%s arrived as %q, want %q", name, arrived, value)
		}
	}
	for _, name := range []string{"Authorization", "Api-Key", "X-Api-Key"} {
		_, ours := want[name]
		ours = ours || e.Place != nil && http.CanonicalHeaderKey(e.Place.Header) == name
		if !ours && got.header.Get(name) != "" {
			t.Errorf("the client's %s arrived", name)
		}
	}
	if !slices.Contains(got.header.Values("Anthropic-Beta"), "of-the-client") {
		t.Error("the client's own header is gone")
	}
	if strings.Contains(fmt.Sprint(got.uri, got.header), "evil") {
		t.Error("a credential of the client's arrived")
	}
}
