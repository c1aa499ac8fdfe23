package config

import (
	"encoding/json"
	"errors"
)

// checkTransport looks at a transport module: an object that names the module in
// its member protocol.
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
