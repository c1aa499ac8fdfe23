package oauth2llm

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/clientkey"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/credentials"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// dress copies a request, without the client's credentials, and with the model's
// upstream name. The request itself stays as it is: error routes and retries must
// not see the token. Header, place and token of a provider without a
// base_url are set here; those of one with a base_url are for the transport to
// set, where no other module sees them.
func (h *Handler) dress(r *http.Request, l *lease, q *query, holder clientkey.Holder) (*http.Request, error) {
	to := &l.route.target
	p := to.provider
	filter := h.filters[p.name]
	copied := r.WithContext(l)
	copied.Header = filter.Header(r.Header, 2+len(p.headerUp.Set))
	holder.Remove(copied.Header)
	credentials.OnlyWebSocket(copied.Method, copied.Header)
	undress(copied, l.earlier)
	setQuery(copied, filter.Query(copied.URL.RawQuery))
	if err := l.rename(copied, q); err != nil {
		return nil, requestProblem(err)
	}
	tunnel := copied.Method == http.MethodConnect && copied.ProtoMajor > 1
	if to.base == nil {
		p.headerUp.Apply(copied.Header)
		p.putToken(copied, l.walk.token)
		l.walk.sends(l.walk.token)
	}
	switch {
	case tunnel:
		l.message.Tunnel(copied, to.base != nil)
	case to.base == nil:
		l.message.Forward(copied, filter)
	default:
		if err := l.message.Hold(h.MaxBody); err != nil {
			return nil, requestProblem(err)
		}
		l.message.Lock(copied, filter)
	}
	return copied, nil
}

// passOn copies a request that goes to no provider, without the client's key of
// this gateway.
func (h *Handler) passOn(r *http.Request, l *lease, holder clientkey.Holder) (*http.Request, error) {
	copied := r.WithContext(l)
	copied.Header = r.Header.Clone()
	holder.Remove(copied.Header)
	credentials.RemoveOverrides(copied.Header)
	credentials.OnlyWebSocket(copied.Method, copied.Header)
	undress(copied, l.earlier)
	if copied.Method == http.MethodConnect {
		l.message.Tunnel(copied, false)
		return copied, nil
	}
	if err := l.message.AsItCame(); err != nil {
		return nil, requestProblem(err)
	}
	l.message.Forward(copied, nil)
	return copied, nil
}

// undress takes off what an earlier directive has put on a request for its own
// provider: the last one decides.
func undress(copied *http.Request, earlier *lease) {
	if earlier == nil || earlier.provider() == nil || earlier.bound() {
		return
	}
	p := earlier.provider()
	for _, name := range p.headerUp.Names() {
		delete(copied.Header, name)
	}
	p.removeToken(copied)
}

// setQuery sets the query of a request. Others may share its URL, so it
// is copied.
func setQuery(r *http.Request, query string) {
	if query == r.URL.RawQuery {
		return
	}
	address := *r.URL
	address.RawQuery = query
	r.URL = &address
}

// rename puts the name by which the upstream knows the model in its place,
// wherever the request names it. A name that only the path has is added to the
// body where the upstream's URL does not hold it.
func (l *lease) rename(copied *http.Request, q *query) error {
	to := &l.route.target
	if q.found.Where == 0 {
		return nil
	}
	if q.found.Where&(llm.InQuery|llm.InPath) != 0 {
		address := *copied.URL
		q.found.RenameURL(&address, to.upstream)
		copied.URL = &address
		copied.RequestURI = address.RequestURI()
	}
	if !l.message.Held() {
		return nil
	}
	var scratch [512]byte
	edit, changes := q.found.EditBody(scratch[:0], l.message.Content(), to.upstream, to.base != nil && !to.namesModel)
	if !changes {
		return nil
	}
	return l.message.Edit(edit)
}

// aim points a request at its target and dresses it: the provider's headers, and
// the token in its place. The request's header is its own.
func (to *target) aim(out *http.Request, w *walk) {
	p := to.provider
	if to.base != nil {
		hideGateway(out.Header)
		p.headerUp.Apply(out.Header)
		address := *out.URL
		llm.Aim(&address, to.base)
		out.URL, out.Host = &address, to.base.Host
	}
	p.putToken(out, w.token)
	w.sends(w.token)
}

// hideGateway removes what reverse_proxy adds about the client and this gateway,
// and what a client may have made up: none of it is a provider's business.
func hideGateway(header http.Header) {
	for name := range header {
		switch field := credentials.CanonicalField(name); {
		case field == "Via", field == "Forwarded", field == "X-Real-Ip", strings.HasPrefix(field, "X-Forwarded-"):
			delete(header, name)
		}
	}
}

// dialAddress is the address that a URL's host listens on.
func dialAddress(base *url.URL) string {
	port := base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[base.Scheme]
	}
	return caddy.JoinNetworkAddress("", base.Hostname(), port)
}
