package caddytest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const chainMaxBody = 400_000

// A chain is a gateway in which two directives handle a request, one after the
// other, and two providers that have nothing in common.
type chain struct {
	*gateway
	authFirst, authSecond *authServer
	second                *upstream
}

// A chainSite says how the two directives follow each other.
type chainSite struct {
	// first and second are pass, routed or fixed; a bound one has a base_url.
	first, second           string
	firstBound, secondBound bool
	// routes is the site; in it {first}, {second}, {to first} and {to second} stand
	// for the directives and for what forwards to their LLMs.
	routes string
	// plain forwards to the first with Caddy's own transport.
	plain bool
	// place is where the first one's token goes.
	place string
	// handles leaves the first one's errors to error routes.
	handles bool
}

// start starts the gateway. firstLLM answers in the place of the first LLM.
func (s chainSite) start(t *testing.T, firstLLM http.HandlerFunc) *chain {
	t.Helper()
	c := &chain{
		authFirst:  newAuthServer(t, oauthClient{id: "first-client", secret: "first-secret"}),
		authSecond: newAuthServer(t, oauthClient{id: "second-client", secret: "second-secret"}), second: newUpstream(t, nil),
	}
	first := httptest.NewServer(firstLLM)
	t.Cleanup(first.Close)
	provider := func(name string, auth *authServer, lines string) string {
		return fmt.Sprintf("provider %s {\n client_id %s-client\n client_secret %s-secret\n token_url %s\n %s\n}\n", name, name, name, auth.tokenURL(), lines)
	}
	proxy := func(url string, bound, plain bool) string {
		switch {
		case bound:
			return "reverse_proxy {\n dynamic oauth2_llm\n transport oauth2_llm\n"
		case plain:
			return "reverse_proxy " + strings.TrimPrefix(url, "http://") + " {\n"
		}
		return "reverse_proxy " + strings.TrimPrefix(url, "http://") + " {\n transport oauth2_llm\n"
	}
	directive := func(kind, provider, lines string) string {
		switch kind {
		case "pass":
			lines += "\nunknown_model pass"
			provider = ""
		case "routed":
			provider = ""
		}
		return fmt.Sprintf("oauth2_llm %s {\n %s\n max_body %d\n}\n", provider, lines, chainMaxBody)
	}
	errors := map[bool]string{true: "errors handle\n"}
	lines := map[bool][2]string{true: {"base_url " + first.URL, "base_url " + c.second.URL}}
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	c.gateway = startGateway(t, fmt.Sprintf("{\n{{global INFO}}\nservers {\n protocols h1 h2c\n}\noauth2_llm {\n%s%s}\n}\nhttp://:%s {\n bind 127.0.0.1\n%s\n}\n",
		provider("first", c.authFirst, "header_up X-First-Group first-group\n"+s.place+"\n"+lines[s.firstBound][0]), provider("second", c.authSecond, lines[s.secondBound][1]), port,
		strings.NewReplacer(
			"{first}", directive(s.first, "first", errors[s.handles]+gatewayKey), "{second}", directive(s.second, "second", "client_key off"),
			"{to first}", proxy(first.URL, s.firstBound, s.plain), "{to second}", proxy(c.second.URL, s.secondBound, false)+"}\n",
		).Replace(s.routes)))
	c.address = address
	return c
}

// A chainRequest is a request that goes through a chain.
type chainRequest struct {
	size                                     int
	chunked, expects, http2, form, zip, none bool
	trailer                                  http.Header
}

func chainRequests() map[string]chainRequest {
	return map[string]chainRequest{
		"100 B":                            {size: 100},
		"100 kB":                           {size: 100_000},
		"300 kB":                           {size: 300_000},
		"300 kB in chunks":                 {size: 300_000, chunked: true},
		"more than max_body":               {size: 600_000},
		"more than max_body in chunks":     {size: 600_000, chunked: true},
		"100 kB with trailers":             {size: 100_000, chunked: true, trailer: http.Header{"X-Checksum": {"1"}}},
		"100 kB that waits to be asked":    {size: 100_000, expects: true},
		"a form of 100 kB":                 {size: 100_000, form: true},
		"100 kB that is compressed":        {size: 100_000, zip: true},
		"100 kB over HTTP/2":               {size: 100_000, http2: true},
		"300 kB over HTTP/2 in chunks":     {size: 300_000, http2: true, chunked: true},
		"100 B over HTTP/2 with trailers":  {size: 100, http2: true, chunked: true, trailer: http.Header{"X-Checksum": {"1"}}},
		"no JSON, of 100 kB":               {size: 100_000, none: true},
		"no JSON, more than max_body":      {size: 600_000, none: true, chunked: true},
		"no JSON over HTTP/2, in chunks":   {size: 600_000, none: true, chunked: true, http2: true},
		"no JSON that waits to be asked":   {size: 100_000, none: true, expects: true},
		"no JSON, of 100 B, with trailers": {size: 100, none: true, chunked: true, trailer: http.Header{"X-Checksum": {"1"}}},
	}
}

const chainForm = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n%s\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n%s\r\n--b--\r\n"

// text is what the body carries beside its model.
func (q chainRequest) text() string { return strings.Repeat("0123456789", q.size/10) }

// send sends the request for a model.
func (q chainRequest) send(t *testing.T, c *chain, model string) answer {
	t.Helper()
	body, contentType := fmt.Sprintf(`{"model":%q,"x":%q}`, model, q.text()), "application/json"
	switch {
	case q.form:
		body, contentType = fmt.Sprintf(chainForm, model, q.text()), "multipart/form-data; boundary=b"
	case q.none:
		body, contentType = q.text(), "audio/wav"
	}
	if q.zip {
		body = gzipped(t, body)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url("/v1/chat/completions"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.GetBody = nil
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", "Bearer gateway-key")
	if q.zip {
		r.Header.Set("Content-Encoding", "gzip")
	}
	if q.chunked {
		r.ContentLength = -1
	}
	if q.expects {
		r.Header.Set("Expect", "100-continue")
	}
	r.Trailer = q.trailer
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true, ExpectContinueTimeout: 20 * time.Second}
	if q.http2 {
		transport.DisableKeepAlives = false
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	response, err := client.Do(r)
	if err != nil {
		// A gateway that wants no more of a long body closes the connection.
		return answer{header: http.Header{}}
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}
}

// arrived is the model and the text of what an LLM got.
func (q chainRequest) arrived(t *testing.T, got received) (model, text string) {
	t.Helper()
	body := got.body
	if got.header.Get("Content-Encoding") == "gzip" {
		reader, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = io.ReadAll(reader)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case q.none:
		return "", string(body)
	case q.form:
		_, rest, _ := strings.Cut(string(body), "\r\n\r\n")
		model, rest, _ = strings.Cut(rest, "\r\n")
		_, rest, _ = strings.Cut(rest, "\r\n\r\n")
		text, _, _ = strings.Cut(rest, "\r\n")
		return model, text
	}
	var parsed struct{ Model, X string }
	if err := json.Unmarshal(body, &parsed); err != nil {
		t.Errorf("%d bytes of no JSON arrived: %v", len(body), err)
	}
	return parsed.Model, parsed.X
}

// wantSecond fails the test unless the second LLM has got the whole of one request,
// with its own token and nothing of the first provider's.
func (c *chain) wantSecond(t *testing.T, q chainRequest, before int, model string) {
	t.Helper()
	if n := c.second.count() - before; n != 1 {
		t.Fatalf("%d requests arrived at the second LLM, want 1", n)
	}
	got := c.second.last(t)
	gotModel, text := q.arrived(t, got)
	if text != q.text() || !q.none && gotModel != model {
		t.Errorf("%d bytes for %q arrived, want %d for %q", len(text), gotModel, len(q.text()), model)
	}
	if got.trailer.Get("X-Checksum") != q.trailer.Get("X-Checksum") {
		t.Errorf("the trailers are %v", got.trailer)
	}
	c.wantOnlySecondCredentials(t, got)
}

func (c *chain) wantOnlySecondCredentials(t *testing.T, got received) {
	t.Helper()
	values := got.header["Authorization"]
	if len(values) != 1 {
		t.Fatalf("%d tokens arrived", len(values))
	}
	if client, problem := c.authSecond.check(strings.TrimPrefix(values[0], "Bearer ")); problem != "" || client != "second-client" {
		t.Errorf("the token is %s, of %q", problem, client)
	}
	if got.header["X-First-Group"] != nil || got.header["X-First-Token"] != nil || strings.Contains(got.uri, "first_token") {
		t.Errorf("of the first provider %s with %v arrived", got.uri, got.header)
	}
	for name, values := range got.header {
		for _, value := range values {
			if _, problem := c.authFirst.check(strings.TrimPrefix(value, "Bearer ")); problem == "" {
				t.Errorf("the first provider's token arrived in %s", name)
			}
		}
	}
}

// chainKinds are the pairs of directives: the model that a client names, what
// arrives behind both, and what arrives behind the second alone.
var chainKinds = map[string]struct{ first, second, model, both, alone string }{
	"pass and fixed":    {"pass", "fixed", "zzz/m", "zzz/m", "zzz/m"},
	"routed and fixed":  {"routed", "fixed", "first/m", "m", "first/m"},
	"fixed and routed":  {"fixed", "routed", "second/m", "m", "m"},
	"routed and routed": {"routed", "routed", "first/second/m", "m", ""},
}

// bindings are the pairs of providers with a base_url and without.
var bindings = map[string][2]bool{"unbound and bound": {false, true}, "bound and unbound": {true, false}, "both bound": {true, true}, "neither bound": {false, false}}

// shortBindings leaves out what differs least where there are many.
func shortBindings() map[string][2]bool {
	return map[string][2]bool{"unbound and bound": bindings["unbound and bound"], "bound and unbound": bindings["bound and unbound"]}
}

// The last directive decides, and has the whole body as the first forwards it.
func TestOfTwoDirectivesInARowTheLastDecides(t *testing.T) {
	for kind, pair := range chainKinds {
		for binding, bound := range bindings {
			c := chainSite{
				first: pair.first, second: pair.second, firstBound: bound[0], secondBound: bound[1], place: "place header X-First-Token",
				routes: "route {\n{first}{second}{to second}}",
			}.start(t, func(http.ResponseWriter, *http.Request) { t.Error("the first LLM got a request") })
			for name, q := range chainRequests() {
				if q.none && pair.first != "pass" {
					continue
				}
				t.Run(kind+", "+binding+": "+name, func(t *testing.T) {
					before := c.second.count()
					a := q.send(t, c, pair.model)
					if q.size > chainMaxBody && !q.none {
						if a.status != 0 {
							a.wantStatus(t, http.StatusRequestEntityTooLarge)
						}
						if c.second.count() != before {
							t.Error("a part of a body arrived")
						}
						return
					}
					a.wantStatus(t, http.StatusOK)
					c.wantSecond(t, q, before, pair.both)
				})
			}
		}
	}
}

// A body that another handler has put in the place of the client's is the one that
// counts.
func TestABodyThatIsReplacedBetweenTwoDirectivesIsTheSecondOnes(t *testing.T) {
	for kind, pair := range chainKinds {
		for binding, bound := range shortBindings() {
			c := chainSite{
				first: pair.first, second: pair.second, firstBound: bound[0], secondBound: bound[1], place: "place query first_token",
				routes: "route {\n{first}request_body {\n set `{\"model\":\"" + pair.model + "\",\"x\":\"replaced\"}`\n}\n{second}{to second}}",
			}.start(t, func(http.ResponseWriter, *http.Request) { t.Error("the first LLM got a request") })
			for name, q := range map[string]chainRequest{"100 B": {size: 100}, "300 kB in chunks": {size: 300_000, chunked: true}, "100 kB over HTTP/2": {size: 100_000, http2: true}} {
				t.Run(kind+", "+binding+": "+name, func(t *testing.T) {
					before := c.second.count()
					q.send(t, c, pair.model)
					if pair.second == "routed" && pair.first == "routed" {
						// Its model is that of the first provider still.
						if n := c.second.count() - before; n != 0 {
							t.Errorf("%d requests arrived", n)
						}
						return
					}
					if n := c.second.count() - before; n != 1 {
						t.Fatalf("%d requests arrived", n)
					}
					got := c.second.last(t)
					model, text := q.arrived(t, got)
					if want := pair.alone; text != "replaced" || model != want {
						t.Errorf("%q for %q arrived, want the replaced one for %q", text, model, want)
					}
					c.wantOnlySecondCredentials(t, got)
				})
			}
		}
	}
}
