package config

import (
	"context"
	"errors"
	"net/url"
	"strings"
)

// A BaseURL is where LLM requests go. Its path may depend on the model.
type BaseURL struct {
	// segments is the URL, split where the model's name stands.
	segments []string
	// fixed is the URL if that is nowhere.
	fixed *url.URL
}

// HasModel reports whether the URL depends on the model.
func (b *BaseURL) HasModel() bool { return b.fixed == nil }

// Host returns scheme and host, which are the same for all models.
func (b *BaseURL) Host() *url.URL {
	if b.fixed != nil {
		return b.fixed
	}
	address, _ := b.For("model")
	return address
}

// For returns the base URL for a model, by the name that the provider knows.
func (b *BaseURL) For(model string) (*url.URL, error) {
	if b.fixed != nil {
		return b.fixed, nil
	}
	if model == "" {
		return nil, errors.New("base_url holds {model}, and the request names none")
	}
	return url.Parse(strings.Join(b.segments, url.PathEscape(model)))
}

// BaseURLs are the base URLs of a provider.
type BaseURLs struct {
	// Default is for all models that have none of their own; nil if there is none.
	Default *BaseURL
	// Models are those of models, by the name that clients use.
	Models map[string]*BaseURL

	// any is the base URL of AnyModel, listed the models that are listed by name.
	any    *BaseURL
	listed map[string]bool
}

// All yields every base URL.
func (b BaseURLs) All(yield func(*BaseURL) bool) {
	if b.Default != nil && !yield(b.Default) {
		return
	}
	for _, base := range b.Models {
		if !yield(base) {
			return
		}
	}
}

// Of returns the base URL of a model, by the name that clients use: its own, else
// AnyModel's if the model is not listed, else the provider's. It is nil if none is set.
// A request without a model uses the provider's.
func (b BaseURLs) Of(model string) *BaseURL {
	if own, listed := b.Models[model]; listed {
		return own
	}
	if b.any != nil && model != "" && !b.listed[model] {
		return b.any
	}
	return b.Default
}

// baseURLs reads base_url of the provider and of its models.
func (p *Provider) baseURLs(name string, environment Environment) (all BaseURLs, errs []error) {
	resolve := func(field string, t Template) *BaseURL {
		base, err := p.resolveBaseURL(name, field, t, environment)
		if err != nil {
			errs = append(errs, err)
		}
		return base
	}
	all.Default = resolve("base_url", p.BaseURL)
	all.listed = make(map[string]bool, len(p.Models))
	for _, model := range sorted(p.Models) {
		all.listed[model] = true
		if base := resolve("models."+shownName(model)+".base_url", p.Models[model].BaseURL); base != nil {
			if all.Models == nil {
				all.Models = make(map[string]*BaseURL)
			}
			all.Models[model] = base
		}
	}
	all.any = all.Models[AnyModel]
	return all, errs
}

func (p *Provider) resolveBaseURL(name, field string, t Template, environment Environment) (*BaseURL, error) {
	segments, err := t.aroundModel(environment)
	if err != nil {
		return nil, p.misconfigured(name, field, err)
	}
	if segments == nil {
		return nil, nil //nolint:nilnil // a missing base URL is allowed
	}
	base := &BaseURL{segments: segments}
	if err := base.check(); err != nil {
		return nil, p.invalid(name, field, err)
	}
	return base, nil
}

// aroundModel returns the value of a template that is read when the configuration
// is loaded, split where {model} stands. It is nil if there is no value.
func (t Template) aroundModel(environment Environment) ([]string, error) {
	parts, err := t.parse()
	if err != nil || len(parts) == 0 {
		return nil, err
	}
	segments := []string{""}
	for _, p := range parts {
		switch p.kind {
		case partModel:
			segments = append(segments, "")
			continue
		case partLiteral, partVariable, partFile, partVar:
		default:
			return nil, notConstant(p.kind, partVariable, partFile, partModel)
		}
		text, err := environment.complete().read(context.Background(), p)
		if err != nil {
			return nil, err
		}
		segments[len(segments)-1] += text
	}
	return segments, nil
}

// check looks whether the URL is one whatever the model is called.
func (b *BaseURL) check() error {
	text := strings.Join(b.segments, "model")
	if err := checkBaseURL(text); err != nil {
		return err
	}
	address, err := url.Parse(text)
	if err != nil {
		return errors.New("must be a URL, such as https://host.example.com/path")
	}
	if len(b.segments) == 1 {
		b.fixed = address
		return nil
	}
	other, err := url.Parse(strings.Join(b.segments, "other"))
	if err != nil || other.Scheme != address.Scheme || other.Host != address.Host || other.RawQuery != address.RawQuery {
		return errors.New("may hold {model} in its path only")
	}
	return nil
}
