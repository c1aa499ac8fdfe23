package caddytest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// What a header says of a body that there is not keeps no request from its model:
// clients set a content type for everything that they send.
func TestARequestWithoutABodyIsNotTakenForOneWithABody(t *testing.T) {
	auth, up := newCorpAuth(t), newUpstream(t, nil)
	tests := map[string]struct {
		line, header string
		status       int
		code         string
	}{
		"a model in the query, JSON":          {"POST /v1/responses/resp_1/cancel?model=corp/m", "Content-Type: application/json\nContent-Length: 0\n", 200, ""},
		"a model in the query, a form":        {"POST /v1/files?model=corp/m", "Content-Type: multipart/form-data\nContent-Length: 0\n", 200, ""},
		"a model in the query, urlencoded":    {"DELETE /v1/responses/resp_1?model=corp/m", "Content-Type: application/x-www-form-urlencoded\n", 200, ""},
		"a model in the query, a charset":     {"GET /v1/responses/resp_1?model=corp/m", "Content-Type: application/json; charset=utf-7\n", 200, ""},
		"a model in the query, an encoding":   {"GET /v1/responses/resp_1?model=corp/m", "Content-Encoding: br\n", 200, ""},
		"a model in the query, in chunks":     {"POST /v1/responses/resp_1/cancel?model=corp/m", "Content-Type: multipart/form-data\nTransfer-Encoding: chunked\n", 200, ""},
		"a GET without a model, JSON":         {"GET /v1/things", "Content-Type: application/json\n", 404, "model_not_found"},
		"a POST without a model, JSON":        {"POST /v1/things", "Content-Type: application/json\nContent-Length: 0\n", 400, "model_required"},
		"a POST without a model, in chunks":   {"POST /v1/things", "Content-Type: application/json\nTransfer-Encoding: chunked\n", 400, "model_required"},
		"a POST without a model, urlencoded":  {"POST /v1/things", "Content-Type: application/x-www-form-urlencoded\nContent-Length: 0\n", 400, "model_required"},
		"a DELETE without a model, in a form": {"DELETE /v1/things", "Content-Type: multipart/form-data; boundary=b\n", 400, "model_required"},
	}
	for where, site := range map[string]corpSite{
		"with a base_url": corpBoundTo(auth, up.URL+"/v1", "", gatewayKey),
		"without one":     {auth: auth, upstream: up.address(), directive: gatewayKey},
	} {
		g := site.start(t)
		for name, test := range tests {
			t.Run(name+", "+where, func(t *testing.T) {
				end := "\n"
				if strings.HasSuffix(test.header, "chunked\n") {
					end = "\n0\n\n"
				}
				a := g.wire(t, fmt.Sprintf("%s HTTP/1.1\nHost: gateway.test\nApi-Key: gateway-key\n%s%s", test.line, test.header, end))
				if test.status != http.StatusOK {
					a.wantError(t, test.status, "invalid_request_error", test.code)
					return
				}
				a.wantStatus(t, test.status)
				if got := up.last(t); len(got.body) > 0 {
					t.Errorf("%d bytes arrived", len(got.body))
				}
			})
		}
	}
}
