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
	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// A modelRef is a model of a provider, by the name that clients use.
type modelRef struct {
	provider *provider
	model    string
}

// A catalog is what a directive offers by name: the models that its providers
// list, and aliases.
type catalog struct {
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
	c := &catalog{aliases: make(map[string]modelRef), byModel: make(map[string][]*provider)}
	list := func(id string, ref modelRef) {
		c.listed = append(c.listed, listedModel{llm.ModelInfo{ID: id, OwnedBy: ref.provider.name, Created: now}, ref})
	}
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		p := providers[name]
		for model := range p.definition.Models {
			if p.lists(model) {
				c.byModel[model] = append(c.byModel[model], p)
				list(name+"/"+model, modelRef{p, model})
			}
		}
	}
	for _, alias := range slices.Sorted(maps.Keys(aliases)) {
		name, model, ok := strings.Cut(aliases[alias], "/")
		p := providers[name]
		switch {
		case alias == "" || strings.Contains(alias, "/"):
			return nil, aliasError(alias, "an alias must have a name without a slash")
		case !ok || model == "":
			return nil, aliasError(alias, "is not written as <provider>/<model>")
		case p == nil:
			return nil, aliasError(alias, fmt.Sprintf("provider %s is not declared", name))
		}
		if _, offered := p.offer(model); !offered {
			return nil, aliasError(alias, fmt.Sprintf("provider %s does not offer this model", name))
		}
		c.aliases[alias] = modelRef{p, model}
		list(alias, c.aliases[alias])
	}
	slices.SortFunc(c.listed, func(a, b listedModel) int { return strings.Compare(a.ID, b.ID) })
	return c, nil
}

func aliasError(alias, problem string) error {
	return &config.ConfigurationError{Field: strings.TrimSpace("alias " + alias), Err: errors.New(problem)}
}

// list is the list of the models that a client may use, as JSON.
func (c *catalog) list(client *clientKey) []byte {
	var allowed []llm.ModelInfo
	for _, model := range c.listed {
		if client.mayUse(model.provider.name, model.model) {
			allowed = append(allowed, model.ModelInfo)
		}
	}
	return llm.AppendModelList(nil, allowed)
}

// retrieve is a listed model as JSON, by its own name or by that of its provider
// and itself; nil if it is not listed.
func (c *catalog) retrieve(name string, ref modelRef) []byte {
	if found := c.entry(name); found != nil {
		return found
	}
	return c.entry(ref.provider.name + "/" + ref.model)
}

func (c *catalog) entry(id string) []byte {
	at, found := slices.BinarySearchFunc(c.listed, id, func(model listedModel, id string) int { return strings.Compare(model.ID, id) })
	if !found {
		return nil
	}
	return c.listed[at].AppendJSON(nil)
}

// resolve finds what a request's model means to a client. A ref without a
// provider is passed on.
func (h *Handler) resolve(client *clientKey, name, prefix, rest string, prefixed bool) (modelRef, error) {
	if prefixed {
		if p := h.providers[prefix]; p != nil {
			return modelRef{p, rest}, nil
		}
		return h.unknown(name)
	}
	if ref, ok := h.catalog.aliases[name]; ok {
		return ref, nil
	}
	listing := h.catalog.byModel[name]
	allowed := slices.DeleteFunc(slices.Clone(listing), func(p *provider) bool { return !client.mayUse(p.name, name) })
	switch {
	case len(listing) > 0 && len(allowed) == 0:
		return modelRef{}, modelNotAllowed()
	case len(allowed) == 1:
		return modelRef{allowed[0], name}, nil
	case len(allowed) > 1:
		return modelRef{}, requestProblem(&llm.RequestError{
			Code:    llm.CodeAmbiguousModel,
			Message: "several providers offer this model; name it as one of " + joinNames(allowed, name),
		})
	case h.DefaultProvider != "":
		return modelRef{h.providers[h.DefaultProvider], name}, nil
	case h.UnknownModel == unknownModelPass:
		return modelRef{}, nil
	}
	return modelRef{}, modelNotFound()
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

// unknown decides about a model whose prefix is no provider (case B25).
func (h *Handler) unknown(name string) (modelRef, error) {
	switch h.UnknownModel {
	case unknownModelPass:
		return modelRef{}, nil
	case unknownModelDefault:
		return modelRef{h.providers[h.DefaultProvider], name}, nil
	}
	return modelRef{}, modelNotFound()
}

// withoutModel decides about a request that names no model.
func (h *Handler) withoutModel(r *http.Request) (modelRef, error) {
	switch {
	case h.DefaultProvider != "":
		return modelRef{provider: h.providers[h.DefaultProvider]}, nil
	case h.UnknownModel == unknownModelPass:
		return modelRef{}, nil
	}
	refused := &llm.RequestError{Code: llm.CodeModelRequired, Message: "the request names no model; name one as <provider>/<model>"}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		refused.Code = llm.CodeModelNotFound
	}
	return modelRef{}, requestProblem(refused)
}
