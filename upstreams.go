package oauth2llm

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func init() { caddy.RegisterModule(new(Upstreams)) }

// Upstreams tells `reverse_proxy` the address of the request's provider: the
// host of its `base_url`. For a provider without one, and for requests that are
// passed on, it returns the static upstreams of the same `reverse_proxy`.
//
// Use it together with `transport oauth2_llm`: nothing else gets the token and the
// body of a provider with a `base_url`.
type Upstreams struct {
	// parent is the reverse_proxy that this is part of.
	parent *reverseproxy.Handler
}

// CaddyModule returns the Caddy module information.
func (*Upstreams) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.upstreams.oauth2_llm",
		New: func() caddy.Module { return new(Upstreams) },
	}
}

// Provision finds the reverse_proxy around it.
func (u *Upstreams) Provision(ctx caddy.Context) error {
	u.parent = proxyAround(ctx)
	return nil
}

// proxyAround is the reverse_proxy that a module is part of, nil if it is in none.
func proxyAround(ctx caddy.Context) (parent *reverseproxy.Handler) {
	for _, module := range ctx.Modules() {
		if proxy, ok := module.(*reverseproxy.Handler); ok {
			parent = proxy
		}
	}
	return parent
}

// UnmarshalCaddyfile sets up the upstream source. Syntax:
//
//	dynamic oauth2_llm
func (*Upstreams) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() || d.NextBlock(0) {
		return d.Errf("dynamic oauth2_llm takes no arguments and no block")
	}
	return nil
}

// nowhere is an address that leads nowhere, and says why.
const nowhere = "no-oauth2-llm-directive-before-this-reverse-proxy.invalid:1"

// GetUpstreams returns the upstreams of a request's provider. They are new each
// time: reverse_proxy writes into them.
func (u *Upstreams) GetUpstreams(r *http.Request) ([]*reverseproxy.Upstream, error) {
	l := leaseOf(r.Context())
	if l != nil && l.bound() {
		l.reach(upstreamFound)
		return []*reverseproxy.Upstream{{Dial: l.route.target.dial}}, nil
	}
	var static reverseproxy.UpstreamPool
	if u.parent != nil {
		static = u.parent.Upstreams
	}
	switch {
	case l != nil && len(static) == 0:
		l.reach(upstreamMissing)
	case len(static) == 0:
		// No directive has handled the request. The transport says so; nothing else
		// gets far with this.
		return []*reverseproxy.Upstream{{Dial: nowhere}}, nil
	}
	// An error would make reverse_proxy fall back to them, with a line
	// in the log for each request. Copies do not know what active health checks
	// have found out.
	var upstreams []*reverseproxy.Upstream
	for _, upstream := range static {
		if upstream.Healthy() {
			upstreams = append(upstreams, &reverseproxy.Upstream{Dial: upstream.Dial, MaxRequests: upstream.MaxRequests})
		}
	}
	return upstreams, nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Upstreams)(nil)
	_ caddyfile.Unmarshaler       = (*Upstreams)(nil)
	_ reverseproxy.UpstreamSource = (*Upstreams)(nil)
)
