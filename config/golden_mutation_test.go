package config

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// forEachEndpoint runs a test for each entry of the catalogue that has a token
// endpoint, at the catalogue's time. A copy of the entry may be changed.
func forEachEndpoint(t *testing.T, test func(t *testing.T, entry goldenEntry, all Providers, keys goldenKeys, want *goldenRequest)) {
	t.Helper()
	dir := t.TempDir()
	keys := writeGoldenFiles(t, dir)
	var catalogue []goldenEntry
	readGolden(t, "catalog.json", &catalogue)
	requests := readGoldenRequests(t)
	all, err := goldenProviders(t, dir).expand(goldenEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, entry := range catalogue {
		if requests[entry.Name] == nil {
			continue
		}
		tested++
		t.Run(entry.Name, func(t *testing.T) {
			atGoldenTime(t, func(t *testing.T) { test(t, entry, all, keys, requests[entry.Name]) })
		})
	}
	if tested != 49 {
		t.Errorf("%d entries were tested", tested)
	}
}

// with is the entry with a member of its answer changed, or taken away if the
// value is empty.
func (e goldenEntry) with(t *testing.T, member, value string) *goldenEntry {
	t.Helper()
	var answer map[string]json.RawMessage
	if err := json.Unmarshal([]byte(e.Answer), &answer); err != nil {
		t.Fatal(err)
	}
	if delete(answer, member); value != "" {
		answer[member] = json.RawMessage(value)
	}
	encoded, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	e.Answer = string(encoded)
	return &e
}

// withHeader is the entry with a header of its answer changed.
func (e goldenEntry) withHeader(name, value string) *goldenEntry {
	if e.Headers = maps.Clone(e.Headers); e.Headers == nil {
		e.Headers = make(map[string]string)
	}
	e.Headers[name] = value
	return &e
}

// refused checks that an answer is an AuthenticationError, after one request.
func (e *goldenEntry) refused(t *testing.T, all Providers, code string) *tokens.AuthenticationError {
	t.Helper()
	endpoint := e.endpoint()
	token, err := e.fetch(t, all, endpoint)
	failed, ok := errors.AsType[*tokens.AuthenticationError](err)
	if !ok || failed.Code != code || failed.Provider != e.Name || !token.Value.Empty() {
		t.Fatalf("%s is answered by %v, want %s", e.Answer, err, code)
	}
	if endpoint.asked != 1 {
		t.Errorf("the endpoint was asked %d times", endpoint.asked)
	}
	return failed
}

// Servers send their JSON in many ways.
func TestTheCataloguesAnswersMayBeWrittenOtherwise(t *testing.T) {
	forEachEndpoint(t, func(t *testing.T, entry goldenEntry, all Providers, keys goldenKeys, want *goldenRequest) {
		marked := entry
		marked.Answer = "\ufeff" + entry.Answer
		checkEntry(t, &marked, all, keys, want)
		padded := entry
		padded.Answer = "\r\n \t" + entry.Answer + "\n\n"
		checkEntry(t, &padded, all, keys, want)
		for _, media := range []string{"text/plain", "text/plain; charset=utf-8", "text/html", "application/octet-stream", ""} {
			checkEntry(t, entry.withHeader("Content-Type", media), all, keys, want)
		}
		checkEntry(t, entry.with(t, "unknown_member", `{"access_token":"another"}`), all, keys, want)
	})
}

func TestTheCataloguesTokensMayEndOtherwise(t *testing.T) {
	changed := 0
	forEachEndpoint(t, func(t *testing.T, entry goldenEntry, all Providers, keys goldenKeys, want *goldenRequest) {
		const member = "expires_in"
		var answer map[string]json.RawMessage
		if err := json.Unmarshal([]byte(entry.Answer), &answer); err != nil {
			t.Fatal(err)
		}
		number := strings.Trim(string(answer[member]), `"`)
		if number == "" {
			return
		}
		changed++
		for _, value := range []string{number, `"` + number + `"`, `" ` + number + ` "`, number + ".0", `"` + number + `.0"`, number + "e0"} {
			checkEntry(t, entry.with(t, member, value), all, keys, want)
		}
		// Another member says it, or nothing does.
		unsaid := entry
		switch entry.Name {
		case "azure_openai_imds", "watsonx":
		default:
			unsaid.Want = []any{entry.Want[0], (5 * time.Minute).Seconds()}
		}
		for _, value := range []string{"", "null", `""`, "0", `"0"`, "0.0", `"soon"`, "true", "{}", "[]"} {
			checkEntry(t, unsaid.with(t, member, value), all, keys, want)
		}
		for _, value := range []string{"-1", `"-1"`, "-0.5"} {
			failed := entry.with(t, member, value).refused(t, all, tokens.CodeInvalidResponse)
			if !strings.Contains(failed.Error(), "expires_in must be a number above 0") {
				t.Errorf("%s: got %v", value, failed)
			}
		}
	})
	if changed < 30 {
		t.Errorf("%d answers have an expires_in", changed)
	}
}

func TestTheCataloguesTokensMayHaveAnotherType(t *testing.T) {
	forEachEndpoint(t, func(t *testing.T, entry goldenEntry, all Providers, keys goldenKeys, want *goldenRequest) {
		for _, kind := range []string{`"bearer"`, `"Bearer"`, `"BEARER"`, `"BearerToken"`, `""`, "null", ""} {
			checkEntry(t, entry.with(t, "token_type", kind), all, keys, want)
		}
		for _, kind := range []string{`"DPoP"`, `"dpop"`, `"mac"`, `"PoP"`} {
			failed := entry.with(t, "token_type", kind).refused(t, all, tokens.CodeInvalidResponse)
			if failed.Temporary() || !strings.Contains(failed.Error(), "token_type is not Bearer") {
				t.Errorf("%s: got %v", kind, failed)
			}
		}
	})
}

func TestTheCataloguesRefusals(t *testing.T) {
	forEachEndpoint(t, func(t *testing.T, entry goldenEntry, all Providers, _ goldenKeys, _ *goldenRequest) {
		for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized} {
			refusal := entry
			refusal.Status, refusal.Answer = status, `{"error":"invalid_client","error_description":"no such client"}`
			failed := refusal.refused(t, all, tokens.CodeInvalidClient)
			if failed.Status != status || failed.Temporary() || failed.Description != "no such client" {
				t.Errorf("got %v", failed)
			}
		}
		// A token beside an error is none.
		both := entry.with(t, "error", `"invalid_client"`)
		both.refused(t, all, tokens.CodeInvalidClient)
		checked := entry.with(t, "error", "null")
		if _, err := checked.fetch(t, all, checked.endpoint()); err != nil {
			t.Errorf("an error that is null is one: %v", err)
		}
		outage := entry
		outage.Status, outage.Answer = http.StatusServiceUnavailable, `<html><title>Maintenance</title><p class="CANARY">CANARY</p></html>`
		if failed := outage.refused(t, all, tokens.CodeUnavailable); !failed.Temporary() || failed.Description != "Maintenance" {
			t.Errorf("got %v", failed)
		} else {
			wantNoCanary(t, failed)
		}
		nothing := entry
		nothing.Headers, nothing.Answer = nil, `{"CANARY":1}`
		if failed := nothing.refused(t, all, tokens.CodeInvalidResponse); !failed.Temporary() {
			t.Errorf("got %v", failed)
		} else {
			wantNoCanary(t, failed)
		}
	})
}

func TestTheCataloguesRedirectsAreNotFollowed(t *testing.T) {
	forEachEndpoint(t, func(t *testing.T, entry goldenEntry, all Providers, _ goldenKeys, _ *goldenRequest) {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
			redirect := entry.withHeader("Location", "https://elsewhere.test/CANARY?a=CANARY")
			redirect.Status = status
			failed := redirect.refused(t, all, tokens.CodeRefused)
			if failed.Temporary() || !strings.Contains(failed.Error(), "the answer is a redirect to host elsewhere.test, which is not followed") {
				t.Errorf("got %v", failed)
			}
			wantNoCanary(t, failed)
		}
	})
}
