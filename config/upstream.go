package config

import (
	"encoding/json"
	"errors"
	"net/url"
)

// ResolveBaseURL reads base_url. It is nil if there is none.
func (p *Provider) ResolveBaseURL(name string, environment Environment) (*url.URL, error) {
	text, err := p.BaseURL.constant(environment, partVariable, partFile)
	if err != nil {
		return nil, p.misconfigured(name, "base_url", err)
	}
	if text == "" {
		return nil, nil //nolint:nilnil // no base URL is no error
	}
	if err := checkBaseURL(text); err != nil {
		return nil, p.invalid(name, "base_url", err)
	}
	return url.Parse(text)
}

// A transport is a Caddy module as it is configured: an object that names the
// module in its member protocol.
func checkTransport(raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	var module struct {
		Protocol *string `json:"protocol"`
	}
	switch err := json.Unmarshal(raw, &module); {
	case err != nil || module.Protocol == nil || *module.Protocol == "":
		return errors.New(`names no transport module; write {"protocol": "http", …}`)
	case *module.Protocol == "oauth2_llm":
		return errors.New("is oauth2_llm itself; choose the transport that it uses, such as http")
	}
	return nil
}

// validateTransports looks at transports as far as that needs no Caddy.
func (p *Provider) validateTransports(f *faults) {
	if err := checkTransport(p.Transport); err != nil {
		f.add("transport", "%w", err)
	}
	if err := checkTransport(p.TokenRequest.Transport); err != nil {
		f.add("token_request.transport", "%w", err)
	}
}
