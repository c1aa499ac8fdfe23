package config

import (
	"errors"
	"slices"
)

// ValidateLiterals finds the faults of a provider that neither the environment nor
// another declaration of the provider can correct. It reads no variables and no files, and
// requires no field, so that an adapter can call it on another machine than the server;
// Resolve finds the rest. The error joins a *ConfigurationError or *ValidationError for
// each fault.
func (p *Provider) ValidateLiterals(name string) error {
	f := &faults{provider: p, name: name, partial: true}
	expanded := p.expandWith(f, noEnvironment())
	f.errs = slices.DeleteFunc(f.errs, func(err error) bool { return errors.Is(err, ErrUnresolvedReference) })
	if expanded == nil || len(f.errs) > 0 {
		return errors.Join(f.errs...)
	}
	return expanded.validateLiterals(name)
}

func (p *Provider) validateLiterals(name string) error {
	f := &faults{provider: p, name: name, partial: true}
	r := p.request(f, noEnvironment(), nil)
	if err := checkName(name); err != nil {
		f.add("", "%w", err)
	}
	for _, v := range r.values() {
		if v.isLiteral() {
			if err := v.verify(); err != nil {
				f.errs = append(f.errs, err)
			}
		}
	}
	p.validateLimits(f)
	p.TokenResponse.validate(f)
	p.validatePlace(f)
	p.HeaderUp.validate(f, p.effectivePlace())
	p.validateTransports(f)
	p.validateModels(f)
	_, wrong := p.baseURLs(name, noEnvironment())
	f.errs = append(f.errs, wrong...)
	errs := slices.DeleteFunc(slices.Clone(f.errs), func(err error) bool { return errors.Is(err, ErrUnresolvedReference) })
	if len(errs) < len(f.errs) {
		// A word such as auth_method is a variable: what it rules out is not known.
		return errors.Join(errs...)
	}
	p.validateRequest(f, r)
	return errors.Join(f.errs...)
}

// IsLiteral reports whether the value stands in the configuration itself.
func (t Template) IsLiteral() bool {
	parts, err := t.parse()
	return err == nil && !slices.ContainsFunc(parts, func(p part) bool { return p.kind != partLiteral })
}

// HasFile reports whether the value comes from a file, wholly or in part.
func (t Template) HasFile() bool {
	parts, err := t.parse()
	return err == nil && slices.ContainsFunc(parts, func(p part) bool { return p.kind == partFile })
}

// IsOneFile reports whether the value is the content of a file, exactly one
// {file.PATH} and nothing around it.
func (t Template) IsOneFile() bool {
	parts, err := t.parse()
	return err == nil && len(parts) == 1 && parts[0].kind == partFile && parts[0].member == ""
}
