package config

import (
	"strings"
	"unicode"
)

// maxModelName is the longest name of a model, as in package llm.
const maxModelName = 256

// validateModels looks at the names of models and paths.
func (p *Provider) validateModels(f *faults) {
	for _, name := range sorted(p.Models) {
		if name != AnyModel {
			checkModelName(f, name)
		}
		upstream := p.Models[name].Upstream
		switch {
		case upstream == "":
		case name == AnyModel:
			f.add("models.*", "stands for any model, so it cannot have an upstream name")
		default:
			checkModelName(f, upstream)
		}
	}
	p.validateModelAddresses(f)
	for _, pattern := range p.Paths {
		if !strings.HasPrefix(pattern, "/") && !strings.HasPrefix(pattern, "*") {
			f.add("paths", "a path must begin with / or *")
		}
	}
}

// validateModelAddresses refuses a provider of which only some models have an
// address: the others would be sent to whatever reverse_proxy has, token and all.
func (p *Provider) validateModelAddresses(f *faults) {
	var with, without []string
	for _, name := range sorted(p.Models) {
		if p.Models[name].BaseURL != "" {
			with = append(with, name)
		} else {
			without = append(without, name)
		}
	}
	if p.BaseURL == "" && !f.partial && len(with) > 0 && len(without) > 0 {
		name := without[0]
		if name != AnyModel {
			name = shownName(name)
		}
		f.add("models."+name+".base_url", "is missing: other models have one, and the provider has none for all")
	}
}

// checkModelName refuses names that no request could name; see llm.ParseName.
func checkModelName(f *faults, name string) {
	bad := name == "" || len(name) > maxModelName || strings.ContainsFunc(name, unicode.IsControl)
	for segment := range strings.SplitSeq(name, "/") {
		bad = bad || segment == "" || segment == "." || segment == ".." || strings.TrimSpace(segment) != segment
	}
	if bad {
		f.add("models", "a name is empty, too long, or holds white space, control characters or empty segments at a slash")
	}
}
