package oauth2llm

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/clientkey"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/wildcard"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// A query is what a request asks for, as read finds it.
type query struct {
	method string
	url    *url.URL
	client *clientkey.Client
	// found is the model that the request names.
	found llm.Found
	// distrusted, if not nil, is why the LLM may read another model from the body.
	distrusted error
	// opaque says that there is a body in which nothing was looked for, because it
	// is neither a JSON object nor a form, and notJSON that it announces JSON.
	opaque, notJSON bool
	// webSocket says that the request opens a WebSocket.
	webSocket bool
}

// A route is what becomes of a request. Its zero value passes it on untouched.
type route struct {
	// reply, if not nil, is JSON that answers the request.
	reply []byte
	// target is where the request goes.
	target target
}

// A target is a model of a provider, and where requests for it go.
type target struct {
	// provider is nil for a request that is passed on.
	provider *provider
	// model is the name by which the provider offers it, upstream the one that is
	// sent; both are empty if the request names none.
	model, upstream string
	// base is the URL that a request is pointed at, dial the address of its host;
	// without them reverse_proxy chooses. namesModel says that the URL depends on
	// the model.
	base       *url.URL
	dial       string
	namesModel bool
}

// read finds out what a request asks for. It reads the body as far as it takes to
// know the model, and decides nothing.
func (h *Handler) read(r *http.Request, l *lease) (query, error) {
	q := query{method: r.Method, url: r.URL, client: l.client, webSocket: opensWebSocket(r)}
	switch {
	case !mayForward(r):
		return q, methodNotAllowed()
	case r.URL.Opaque != "":
		// An upstream would get it as it is, and nobody has looked at it.
		return q, requestProblem(&llm.RequestError{Code: llm.CodeInvalidPath, Message: "the request's target must be a path, or a URL with a host"})
	case llm.HasDotSegments(r.URL.Path):
		return q, requestProblem(&llm.RequestError{Code: llm.CodeInvalidPath, Message: "the path holds a dot segment"})
	case h.Provider != "" || llm.IsModelList(r.Method, r.URL.Path):
		return q, nil
	}
	var err error
	if q.found, err = llm.FindInURL(r.Method, r.URL); err != nil {
		return q, requestProblem(err)
	}
	q.found.AddHeader(r.Header)
	if l.message.Empty() || !llm.ReadsBody(r.Method, r.URL.Path) {
		return q, nil
	}
	if err := h.readBody(r, l, &q); err != nil {
		if _, invalid := errors.AsType[*llm.RequestError](err); invalid && q.distrusted != nil {
			err = q.distrusted
		}
		return q, requestProblem(err)
	}
	return q, nil
}

// readBody looks for the model in the body.
func (h *Handler) readBody(r *http.Request, l *lease, q *query) error {
	if r.ContentLength == 0 {
		// Caddy wraps every body, a missing one too.
		if _, err := l.message.Look(true, h.MaxBody); err != nil {
			return err
		}
	}
	if l.message.Empty() {
		return nil
	}
	contentType, encoding := r.Header["Content-Type"], r.Header["Content-Encoding"]
	q.distrusted = llm.ContentTypeFault(contentType)
	if err := llm.EncodingFault(encoding); err != nil {
		return err
	}
	form := llm.IsForm(contentType)
	whole := form || len(encoding) > 0
	object, err := l.message.Look(whole, h.MaxBody)
	if err != nil {
		return err
	}
	if l.message.Empty() {
		q.distrusted = nil
		return nil
	}
	if whole {
		if err := l.message.Decode(encoding, h.MaxBody); err != nil {
			return err
		}
	}
	content := l.message.Content()
	if form {
		return q.found.AddForm(content, contentType)
	}
	if whole {
		object, _ = llm.BeginsObject(content)
	}
	if object {
		return q.found.AddBody(content)
	}
	q.opaque, q.notJSON = true, llm.IsJSON(contentType)
	return nil
}

// decide says what becomes of a request. Nothing else in a request chooses a
// provider, a URL or a token. It reads no body, no clock and no token,
// and changes nothing; with an error the route is zero.
func (h *Handler) decide(q *query) (route, error) {
	if h.Provider == "" && llm.IsModelList(q.method, q.url.Path) {
		return route{reply: h.catalog.list(q.client)}, nil
	}
	ref, err := h.choose(q)
	if err != nil {
		return route{}, err
	}
	if ref.provider != nil && q.distrusted != nil {
		return route{}, requestProblem(q.distrusted)
	}
	upstream, err := h.authorize(q, ref)
	switch {
	case err != nil:
		return route{}, err
	case ref.provider == nil:
		return route{target: target{upstream: q.found.Name}}, nil
	}
	if q.found.Where != 0 && llm.IsModelRetrieval(q.method, q.url.Path) {
		if reply := h.catalog.retrieve(q.client, q.found.Name, ref); reply != nil {
			return route{reply: reply}, nil
		}
	}
	// As the client has escaped it: decoding could turn one path into another.
	if paths := ref.provider.declared.Paths; len(paths) > 0 && !wildcard.MatchAny(paths, q.url.EscapedPath()) {
		return route{}, pathNotAllowed()
	}
	to, err := ref.provider.target(ref.model, upstream)
	if err != nil {
		return route{}, requestProblem(&llm.RequestError{Code: llm.CodeModelRequired, Message: "the request names no model, and its provider has an address for each model only"})
	}
	if h.KeepPrefix && ref.named {
		to.upstream = ref.provider.name + "/" + to.upstream
	}
	return route{target: to}, nil
}

// choose finds the provider that a request means, and the model of it.
func (h *Handler) choose(q *query) (modelRef, error) {
	if h.Provider != "" {
		return modelRef{provider: h.providers[h.Provider]}, nil
	}
	if q.found.Where == 0 {
		return h.withoutModel(q)
	}
	prefix, rest, prefixed, err := q.found.Split()
	if err != nil {
		return modelRef{}, requestProblem(err)
	}
	return h.resolve(q.client, q.found.Name, prefix, rest, prefixed)
}

// authorize checks whether a client may use what it asks for, and returns the
// upstream's name of the model. A client that may use some models of a provider may not use what
// reaches more than the model that it names.
func (h *Handler) authorize(q *query, ref modelRef) (upstream string, err error) {
	p := ref.provider
	if p == nil {
		return "", h.authorizeUntouched(q)
	}
	switch {
	case !q.client.MayUse(p.name, ref.model):
		return "", h.modelNotAllowed(q.client)
	case q.client.MayUse(p.name, ""):
	case q.found.Chooser != "":
		return "", chooserNotAllowed(q.found.Chooser, p.name)
	case !llm.IsModelCall(q.method, q.url, q.found):
		return "", pathNeedsProvider(p.name)
	case q.opaque:
		// A lenient server may find another model in it than the path's.
		return "", requestProblem(&llm.RequestError{Code: llm.CodeInvalidBody, Message: "the body must be a JSON object or a form, as this key is for some models only"})
	}
	if ref.model != "" {
		var offered bool
		if upstream, offered = p.offer(ref.model); !offered {
			return "", h.modelNotOffered(q.client, p)
		}
	}
	return upstream, nil
}

// authorizeUntouched checks whether a client may have a request passed on.
func (h *Handler) authorizeUntouched(q *query) error {
	switch {
	case q.client == nil || q.client.Models == nil || slices.Contains(q.client.Models, "*"):
		return nil
	case !wildcard.MatchAny(q.client.Models, q.found.Name):
		return h.modelNotAllowed(q.client)
	case q.found.Chooser != "":
		return chooserNotAllowed(q.found.Chooser, "")
	}
	return nil
}

// mayForward reports whether a request's method is one for LLMs. The answer to a
// TRACE holds the request, our token and all (RFC 9110 §9.3.8). A CONNECT asks for
// a tunnel to anywhere, unless it opens a WebSocket over HTTP/2 or HTTP/3.
func mayForward(r *http.Request) bool {
	switch r.Method {
	case http.MethodTrace:
		return false
	case http.MethodConnect:
		return opensWebSocket(r)
	}
	return true
}

// opensWebSocket reports whether a request opens a WebSocket, over HTTP/1.1 or as
// an extended CONNECT (RFC 8441, RFC 9220).
func opensWebSocket(r *http.Request) bool {
	switch {
	case r.Method == http.MethodGet:
		return r.ProtoMajor == 1 && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	case r.Method != http.MethodConnect:
		return false
	case r.ProtoMajor == 2:
		return r.Header.Get(":protocol") == "websocket"
	}
	return r.ProtoMajor == 3 && r.Proto == "websocket"
}
