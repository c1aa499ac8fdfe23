package oauth2llm

import (
	"net/http"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// grant says whether a client may have what it asks for, and what the upstream
// calls it. A client that may use some models of a provider may not use what reaches more
// than the model that it names.
func (l *lease) grant(r *http.Request, ref modelRef, found llm.Found) (upstream string, err error) {
	p := ref.provider
	if p == nil {
		if l.client != nil && l.client.models != nil && !matchesAny(l.client.models, found.Name) {
			return "", modelNotAllowed()
		}
		return "", nil
	}
	if !l.client.mayUse(p.name, ref.model) || !l.client.mayUse(p.name, "") && !llm.IsModelCall(r.Method, r.URL, found) {
		return "", modelNotAllowed()
	}
	if ref.model != "" {
		var offered bool
		if upstream, offered = p.offer(ref.model); !offered {
			return "", requestProblem(&llm.RequestError{Code: llm.CodeModelNotFound, Message: "the provider does not offer this model"})
		}
	}
	return upstream, nil
}

// aim finds where a request for a model goes, if its path may be used at all.
func (l *lease) aim(r *http.Request, ref modelRef, upstream string) (err error) {
	p := ref.provider
	// As the client has escaped it (case P01).
	if paths := p.definition.Paths; len(paths) > 0 && !matchesAny(paths, r.URL.EscapedPath()) {
		return pathNotAllowed()
	}
	if l.target, err = p.target(ref.model, upstream); err != nil {
		return requestProblem(&llm.RequestError{Code: llm.CodeModelRequired, Message: "the request names no model, and its provider has an address for each model only"})
	}
	return nil
}
