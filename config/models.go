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
	for _, pattern := range p.Paths {
		if !strings.HasPrefix(pattern, "/") && !strings.HasPrefix(pattern, "*") {
			f.add("paths", "a path must begin with / or *")
		}
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
