package caddytest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A fickleLLM breaks off the first request in the middle of its body, or before
// it if there is none, and keeps the sums of the bodies of the others, if they
// came to their end.
type fickleLLM struct {
	*httptest.Server
	broken atomic.Bool
	mu     sync.Mutex
	bodies [][sha256.Size]byte
}

func newFickleLLM(t *testing.T) *fickleLLM {
	t.Helper()
	l := &fickleLLM{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if l.broken.CompareAndSwap(false, true) {
			_, _ = io.CopyN(io.Discard, r.Body, 1000)
			panic(http.ErrAbortHandler)
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, r.Body); err != nil {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bodies = append(l.bodies, [sha256.Size]byte(sum.Sum(nil)))
	}))
	t.Cleanup(l.Close)
	return l
}

// wantWholeBodies fails the test if a body arrived that is not the right one, or
// if the client's answer does not say whether one did.
func (l *fickleLLM) wantWholeBodies(t *testing.T, a answer, body string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sum := range l.bodies {
		if sum != sha256.Sum256([]byte(body)) {
			t.Error("a part of the body was taken for a whole one")
		}
	}
	if a.status == http.StatusOK && len(l.bodies) != 1 || a.status != http.StatusOK && len(l.bodies) != 0 {
		t.Errorf("status %d when %d requests have arrived", a.status, len(l.bodies))
	}
}

// retriedRequests are the bodies that a retry may cut off. Those up to max_body
// are 100,000 bytes.
func retriedRequests() map[string]replayedRequest {
	form := "multipart/form-data; boundary=b"
	file := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n" + strings.Repeat("RIFF", 25_000) + "\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n%sgpt-4o\r\n--b--\r\n"
	requests := map[string]replayedRequest{
		"without a body": {method: http.MethodGet, path: "/v1/models/corp%2Fm"},
		"a form":         {path: "/v1/audio/transcriptions", contentType: form, body: fmt.Sprintf(file, "corp/"), routed: fmt.Sprintf(file, "")},
	}
	for name, size := range map[string]int{"": 100_000, ", over max_body": 3 << 20} {
		for framing, chunked := range map[string]bool{"": false, ", in chunks": true} {
			requests["a file"+name+framing] = replayedRequest{path: "/v1/files", contentType: "audio/wav", body: strings.Repeat("R", size), chunked: chunked}
			requests["a file"+name+framing+", with trailers"] = replayedRequest{path: "/v1/files", contentType: "audio/wav", body: strings.Repeat("R", size), chunked: true, trailer: http.Header{"X-Checksum": {"1"}}}
		}
	}
	requests["JSON"] = replayedRequest{body: jsonOf(100_000)}
	requests["JSON, in chunks"] = replayedRequest{body: jsonOf(100_000), chunked: true}
	return requests
}

const retriedMaxBody = 256 << 10

// retryingSites are gateways that send a request to a second upstream, which is
// the same one for a provider with a base_url.
func retryingSites() map[string]leaseSite {
	sites := map[string]leaseSite{"bound": {bound: true}, "bound, fixed": {bound: true, fixed: true}, "by model": {}, "fixed": {fixed: true}}
	if testing.Short() {
		delete(sites, "bound")
	}
	all := make(map[string]leaseSite)
	for name, site := range sites {
		for buffers, size := range map[string]string{"": "", ", buffered": "request_buffers 8MiB\n", ", buffered in part": "request_buffers 4KiB\n"} {
			site := site
			site.directive = fmt.Sprintf("default_provider corp\nmax_body %d", retriedMaxBody)
			site.proxy = size + "lb_policy first\nlb_retries 2\nlb_retry_match {\n method GET POST\n}"
			all[name+buffers] = site
		}
	}
	return all
}

func TestARetryNeverSendsAPartOfABody(t *testing.T) {
	again := 0
	for where, site := range retryingSites() {
		for what, request := range retriedRequests() {
			t.Run(fmt.Sprintf("%s: %s", where, what), func(t *testing.T) {
				auth, llm := newCorpAuth(t), newFickleLLM(t)
				g := site.start(t, &strictLLM{Server: llm.Server, auth: auth})
				a := request.try(t, g)
				llm.wantWholeBodies(t, a, request.arrives(site.fixed))
				held := len(request.body) <= retriedMaxBody
				switch {
				case a.status == http.StatusOK:
					again++
				case held && !strings.HasSuffix(where, "buffered in part"):
					t.Errorf("status %d, want a second attempt: the body is in memory", a.status)
				case held || a.status != 0:
					a.wantError(t, http.StatusBadGateway, "upstream_error", "upstream_unreachable")
				}
				g.post("/v1/chat/completions", chat("corp/m"), withKey...).wantStatus(t, http.StatusOK)
			})
		}
	}
	figure(t, "retried", "%d of %d requests whose upstream broke off were sent to the next, whole", again, len(retryingSites())*len(retriedRequests()))
}

// A dial error costs nothing of a body, however long it is.
func TestADialErrorSendsTheWholeBodyToTheNextUpstream(t *testing.T) {
	unreachable := httptest.NewServer(nil)
	unreachable.Close()
	for where, site := range retryingSites() {
		if site.bound {
			continue
		}
		for what, request := range retriedRequests() {
			t.Run(fmt.Sprintf("%s: %s", where, what), func(t *testing.T) {
				auth, llm := newCorpAuth(t), newStrictLLM(t, newCorpAuth(t), nil, nil)
				llm.auth = auth
				g := corpSite{
					auth: auth, fixed: site.fixed, directive: gatewayKey + site.directive, proxy: "transport oauth2_llm\n" + strings.Replace(site.proxy, "lb_policy first", "lb_policy round_robin", 1),
					upstream: strings.TrimPrefix(unreachable.URL, "http://") + " " + strings.TrimPrefix(llm.URL, "http://"),
				}.start(t)
				request.send(t, g).wantStatus(t, http.StatusOK)
				got, sum := llm.last(t)
				if sum != sha256.Sum256([]byte(request.arrives(site.fixed))) {
					t.Errorf("%d bytes arrived of %d", got.contentLength, len(request.body))
				}
				if request.trailer.Get("X-Checksum") != got.trailer.Get("X-Checksum") {
					t.Errorf("the trailers are %v, want %v", got.trailer, request.trailer)
				}
			})
		}
	}
}

// The same for a provider whose one upstream comes up late.
func TestADialErrorCostsABoundProviderNothingOfABody(t *testing.T) {
	for what, request := range retriedRequests() {
		for _, fixed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, fixed: %v", what, fixed), func(t *testing.T) {
				auth := newCorpAuth(t)
				// The address is kept until the gateway has one of its own.
				kept, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				late := &strictLLM{auth: auth, Server: &httptest.Server{URL: "http://" + kept.Addr().String()}}
				g := leaseSite{
					bound: true, fixed: fixed, directive: fmt.Sprintf("default_provider corp\nmax_body %d", retriedMaxBody),
					proxy: "lb_try_duration 20s\nlb_try_interval 10ms",
				}.start(t, late)
				kept.Close()
				answers := make(chan answer, 1)
				go func() { answers <- request.try(t, g) }()
				waitFor(t, 10*time.Second, func() bool { return strings.Contains(g.log(), "connection refused") })
				listener, err := net.Listen("tcp", strings.TrimPrefix(late.URL, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				server := &http.Server{Handler: late, ReadHeaderTimeout: time.Minute}
				t.Cleanup(func() { server.Close() })
				go func() { _ = server.Serve(listener) }()
				(<-answers).wantStatus(t, http.StatusOK)
				if got, sum := late.last(t); sum != sha256.Sum256([]byte(request.arrives(fixed))) || request.trailer.Get("X-Checksum") != got.trailer.Get("X-Checksum") {
					t.Errorf("%d bytes arrived of %d, with trailers %v", got.contentLength, len(request.body), got.trailer)
				}
			})
		}
	}
}

// An error route that sends the request elsewhere sends all of it or nothing.
func TestAnErrorRouteNeverSendsAPartOfABody(t *testing.T) {
	for name, site := range map[string]leaseSite{
		"a plain reverse_proxy": {}, "a plain one, fixed": {fixed: true},
		"transport oauth2_llm": {}, "the transport, fixed": {fixed: true},
		"a base_url": {bound: true}, "a base_url, fixed": {bound: true, fixed: true},
	} {
		for what, request := range retriedRequests() {
			t.Run(name+": "+what, func(t *testing.T) {
				auth, first, second := newCorpAuth(t), newFickleLLM(t), newFickleLLM(t)
				second.broken.Store(true)
				plain := corpSite{
					auth: auth, fixed: site.fixed, directive: gatewayKey + fmt.Sprintf("default_provider corp\nerrors handle\nmax_body %d", retriedMaxBody),
					site: "handle_errors {\n reverse_proxy " + strings.TrimPrefix(second.URL, "http://") + "\n}", upstream: strings.TrimPrefix(first.URL, "http://"),
				}
				switch {
				case site.bound:
					plain.upstream, plain.provider, plain.proxy = "", "base_url "+first.URL, "dynamic oauth2_llm\ntransport oauth2_llm"
				case !strings.Contains(name, "plain"):
					plain.proxy = "transport oauth2_llm"
				}
				g := plain.start(t)
				second.wantWholeBodies(t, request.try(t, g), request.body)
			})
		}
	}
}
