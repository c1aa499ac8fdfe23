package oauth2llm

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/clientkey"
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// A modelRef is a model of a provider, by the name that clients use.
type modelRef struct {
	provider *provider
	model    string
	// named says that the request names the provider, or an alias.
	named bool
}

// A catalog is what a directive offers by name: the models that its providers
// list, and aliases.
type catalog struct {
	providers map[string]*provider
	// created is when the models began to be offered.
	created time.Time
	aliases map[string]modelRef
	// byModel are the providers that list a model, in the order of their names.
	byModel map[string][]*provider
	// listed is everything, in the order of the names.
	listed []listedModel
}

type listedModel struct {
	llm.ModelInfo
	modelRef
}

// newCatalog collects what the providers list, and checks the aliases.
func newCatalog(providers map[string]*provider, aliases map[string]string, now time.Time) (*catalog, error) {
	c := &catalog{providers: providers, aliases: make(map[string]modelRef), byModel: make(map[string][]*provider), created: now}
	list := func(id string, ref modelRef) { c.listed = append(c.listed, c.entryOf(id, ref)) }
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		p := providers[name]
		for model := range p.declared.Models {
			if p.lists(model) {
				c.byModel[model] = append(c.byModel[model], p)
				list(name+"/"+model, modelRef{provider: p, model: model})
			}
		}
	}
	for _, alias := range slices.Sorted(maps.Keys(aliases)) {
		name, model, ok := strings.Cut(aliases[alias], "/")
		p := providers[name]
		switch {
		case alias == "" || strings.Contains(alias, "/"):
			return nil, aliasError(alias, "the name of an alias must not be empty and must not contain a slash")
		case !ok || model == "":
			return nil, aliasError(alias, "must be written as PROVIDER/MODEL")
		case p == nil:
			return nil, aliasError(alias, fmt.Sprintf("provider %s is not declared", name))
		}
		if _, offered := p.offer(model); !offered {
			return nil, aliasError(alias, fmt.Sprintf("provider %s does not offer this model", name))
		}
		c.aliases[alias] = modelRef{provider: p, model: model, named: true}
		list(alias, c.aliases[alias])
	}
	slices.SortFunc(c.listed, func(a, b listedModel) int { return strings.Compare(a.ID, b.ID) })
	return c, nil
}

func aliasError(alias, problem string) error {
	return &config.ConfigurationError{Field: strings.TrimSpace("alias " + alias), Err: errors.New(problem)}
}

// list is the list of the models that a client may use, as JSON.
func (c *catalog) list(client *clientkey.Client) []byte {
	listed := c.allowed(client)
	models := make([]llm.ModelInfo, len(listed))
	for i, model := range listed {
		models[i] = model.ModelInfo
	}
	return llm.AppendModelList(nil, models)
}

// allowed is what a client may use of what is listed, and what its key spells out.
func (c *catalog) allowed(client *clientkey.Client) []listedModel {
	allowed := make([]listedModel, 0, len(c.listed))
	for _, model := range c.listed {
		if client.MayUse(model.provider.name, model.model) {
			allowed = append(allowed, model)
		}
	}
	if client == nil {
		return allowed
	}
	for _, pattern := range client.Models {
		if model, spelt := c.spelt(pattern); spelt {
			allowed = append(allowed, model)
		}
	}
	slices.SortFunc(allowed, func(a, b listedModel) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(allowed, func(a, b listedModel) bool { return a.ID == b.ID })
}

// spelt is the model that a key's pattern spells out, if its provider offers it.
func (c *catalog) spelt(pattern string) (listedModel, bool) {
	name, model, _ := strings.Cut(pattern, "/")
	p := c.providers[name]
	if p == nil || model == "" || strings.Contains(pattern, "*") {
		return listedModel{}, false
	}
	_, offered := p.offer(model)
	return c.entryOf(pattern, modelRef{provider: p, model: model}), offered
}

func (c *catalog) entryOf(id string, ref modelRef) listedModel {
	return listedModel{llm.ModelInfo{ID: id, OwnedBy: ref.provider.name, Created: c.created}, ref}
}

// retrieve returns a model that a client may use as JSON, found as `<model>` or as
// `<provider>/<model>`; nil if it is not listed.
func (c *catalog) retrieve(client *clientkey.Client, name string, ref modelRef) []byte {
	for _, id := range [...]string{name, ref.provider.name + "/" + ref.model} {
		for _, model := range c.allowed(client) {
			if model.ID == id {
				return model.AppendJSON(nil)
			}
		}
	}
	return nil
}

// resolve finds what a request's model means to a client. A ref without a
// provider is passed on.
func (h *Handler) resolve(client *clientkey.Client, name, prefix, rest string, prefixed bool) (modelRef, error) {
	if prefixed {
		if p := h.providers[prefix]; p != nil {
			return modelRef{provider: p, model: rest, named: true}, nil
		}
		return h.unknown(client, name, prefix, rest)
	}
	if ref, ok := h.catalog.aliases[name]; ok {
		return ref, nil
	}
	listing := h.catalog.byModel[name]
	allowed := slices.DeleteFunc(slices.Clone(listing), func(p *provider) bool { return !client.MayUse(p.name, name) })
	switch {
	case len(listing) > 0 && len(allowed) == 0:
		return modelRef{}, h.modelNotAllowed(client)
	case len(allowed) == 1:
		return modelRef{provider: allowed[0], model: name}, nil
	case len(allowed) > 1:
		return modelRef{}, requestProblem(&llm.RequestError{
			Code:    llm.CodeAmbiguousModel,
			Message: "several providers offer this model; name it as one of " + joinNames(allowed, name),
		})
	case h.DefaultProvider != "":
		return modelRef{provider: h.providers[h.DefaultProvider], model: name}, nil
	case h.UnknownModel == unknownModelPass:
		return modelRef{}, nil
	}
	return modelRef{}, h.modelNotFound(client, "", "")
}

// joinNames writes a model with each of its providers. The model is one that is
// listed, so it may be repeated to a client.
func joinNames(providers []*provider, model string) string {
	names := make([]string, len(providers))
	for i, p := range providers {
		names[i] = p.name + "/" + model
	}
	return strings.Join(names, ", ")
}

// unknown decides about a model whose prefix names no provider.
func (h *Handler) unknown(client *clientkey.Client, name, prefix, rest string) (modelRef, error) {
	switch h.UnknownModel {
	case unknownModelPass:
		return modelRef{}, nil
	case unknownModelDefault:
		return modelRef{provider: h.providers[h.DefaultProvider], model: name}, nil
	}
	return modelRef{}, h.modelNotFound(client, prefix, rest)
}

// withoutModel decides about a request that names no model.
func (h *Handler) withoutModel(q *query) (modelRef, error) {
	switch {
	case h.DefaultProvider != "":
		return modelRef{provider: h.providers[h.DefaultProvider]}, nil
	case h.UnknownModel == unknownModelPass:
		return modelRef{}, nil
	case q.webSocket:
		return modelRef{}, upgradeRefused()
	case q.notJSON:
		return modelRef{}, requestProblem(&llm.RequestError{Code: llm.CodeInvalidBody, Message: "the body must be a JSON object, as its content type says JSON"})
	case q.distrusted != nil:
		return modelRef{}, requestProblem(q.distrusted)
	}
	refused := &llm.RequestError{Code: llm.CodeModelRequired, Message: "the request names no model; name one as <provider>/<model>"}
	switch q.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		refused.Code = llm.CodeModelNotFound
	}
	return modelRef{}, requestProblem(refused)
}

// modelNotFound refuses a model whose prefix names no provider. It guesses which
// provider was meant, of those that the client may use.
func (h *Handler) modelNotFound(client *clientkey.Client, prefix, rest string) error {
	message := "the model does not begin with the name of a provider of this gateway; name it as <provider>/<model>"
	if prefix != "" {
		var usable []string
		for _, name := range slices.Sorted(maps.Keys(h.providers)) {
			if client.MayUse(name, rest) {
				usable = append(usable, name)
			}
		}
		if guess := config.Nearest(prefix, usable); guess != "" {
			message = fmt.Sprintf("unknown provider; did you mean %s/…?", guess)
		}
	}
	return requestProblem(&llm.RequestError{Code: llm.CodeModelNotFound, Message: message + h.hint(client)})
}

// modelNotOffered refuses a model that its provider does not list.
func (h *Handler) modelNotOffered(client *clientkey.Client, p *provider) error {
	return requestProblem(&llm.RequestError{Code: llm.CodeModelNotFound, Message: fmt.Sprintf("provider %s does not offer this model", p.name) + h.hint(client)})
}

// modelNotAllowed refuses a model that a client's key is not for.
func (h *Handler) modelNotAllowed(client *clientkey.Client) error {
	return notAllowed(codeModelNotAllowed, "this key may not use this model"+h.hint(client))
}

// hint points to the list of models, where there is one for this client.
func (h *Handler) hint(client *clientkey.Client) string {
	if len(h.catalog.allowed(client)) == 0 {
		return ""
	}
	return "; GET /v1/models lists those that this key may use"
}
