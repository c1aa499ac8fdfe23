package oauth2llm

import (
	"context"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// leaseLike is another lease for the same target.
func leaseLike(l *lease) *lease { return &lease{route: l.route} }

// addresses are the upstreams for a request with a lease.
func addresses(t *testing.T, u *Upstreams, l *lease) []string {
	t.Helper()
	ctx := t.Context()
	if l != nil {
		l.Context = ctx
		ctx = context.Context(l)
	}
	upstreams, err := u.GetUpstreams(httptest.NewRequestWithContext(ctx, "POST", "/v1/x", nil))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, upstream := range upstreams {
		found = append(found, upstream.Dial)
	}
	return found
}

func TestTheUpstreamIsTheProvidersOrAStaticOne(t *testing.T) {
	unbound := &lease{route: route{target: target{provider: new(provider)}}}
	bound := &lease{route: route{target: target{provider: new(provider), base: &url.URL{Scheme: "https", Host: "llm.example.com"}, dial: "llm.example.com:443"}}}
	static := &reverseproxy.Handler{Upstreams: reverseproxy.UpstreamPool{{Dial: "one:80"}, {Dial: "two:80", MaxRequests: 3}}}
	for name, test := range map[string]struct {
		parent   *reverseproxy.Handler
		lease    *lease
		want     []string
		progress progress
	}{
		"a provider with a base_url":               {static, leaseLike(bound), []string{"llm.example.com:443"}, upstreamFound},
		"the same without static upstreams":        {&reverseproxy.Handler{}, leaseLike(bound), []string{"llm.example.com:443"}, upstreamFound},
		"a provider without one":                   {static, leaseLike(unbound), []string{"one:80", "two:80"}, prepared},
		"a request that is passed on":              {static, new(lease), []string{"one:80", "two:80"}, prepared},
		"no directive":                             {static, nil, []string{"one:80", "two:80"}, prepared},
		"a provider without any upstream":          {&reverseproxy.Handler{}, leaseLike(unbound), nil, upstreamMissing},
		"a request that cannot be passed on":       {&reverseproxy.Handler{}, new(lease), nil, upstreamMissing},
		"a source that is in no reverse_proxy":     {nil, leaseLike(unbound), nil, upstreamMissing},
		"no directive and no upstream for nothing": {&reverseproxy.Handler{}, nil, []string{nowhere}, prepared},
	} {
		t.Run(name, func(t *testing.T) {
			u := &Upstreams{parent: test.parent}
			if got := addresses(t, u, test.lease); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if l := test.lease; l != nil && l.progress != test.progress {
				t.Errorf("the request has come to %d, want %d", l.progress, test.progress)
			}
		})
	}
}

// reverse_proxy writes into upstreams, for many requests at once.
func TestUpstreamsAreNewEachTime(t *testing.T) {
	static := &reverseproxy.Handler{Upstreams: reverseproxy.UpstreamPool{{Dial: "one:80", MaxRequests: 3}}}
	u := &Upstreams{parent: static}
	for _, to := range []target{{}, {base: new(url.URL), dial: "llm:443"}} {
		l := &lease{Context: t.Context(), route: route{target: to}}
		r := httptest.NewRequestWithContext(l, "POST", "/v1/x", nil)
		first, _ := u.GetUpstreams(r)
		second, _ := u.GetUpstreams(r)
		if first[0] == second[0] || first[0] == static.Upstreams[0] {
			t.Error("an upstream is shared")
		}
		if to.base == nil && first[0].MaxRequests != 3 {
			t.Error("max_requests is lost")
		}
	}
}

func TestTheUpstreamSourceTakesNoArguments(t *testing.T) {
	for text, ok := range map[string]bool{
		"oauth2_llm":                   true,
		"oauth2_llm corp":              false,
		"oauth2_llm {\n refresh 1m\n}": false,
	} {
		if err := new(Upstreams).UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
