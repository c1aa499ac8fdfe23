package oauth2llm

import "github.com/oauth2llm/caddy-oauth2-llm/config"

func (b *providerBlock) tokenResponse() error {
	response := &b.provider.TokenResponse
	return b.block("token_response", func(option string) error {
		switch option {
		case "token":
			return b.tokenPlaces(response)
		case "expiry":
			return b.expiry(response)
		case "default_ttl":
			return b.text("token_response.default_ttl", &response.DefaultTTL)
		case "max_ttl":
			return b.text("token_response.max_ttl", &response.MaxTTL)
		}
		return b.unknown(option, "token_response", "token", "expiry", "default_ttl", "max_ttl")
	})
}

func (b *providerBlock) tokenPlaces(response *config.TokenResponse) error {
	const field = "token_response.token"
	if err := b.begin(field); err != nil {
		return err
	}
	if response.Token = b.RemainingArgs(); len(response.Token) == 0 {
		return b.fail(field, "takes one path or more, such as access_token, data.token or header:X-Token")
	}
	return nil
}

func (b *providerBlock) expiry(response *config.TokenResponse) error {
	const field = "token_response.expiry"
	arguments := b.RemainingArgs()
	if len(arguments) != 2 {
		return b.fail(field, "takes a path and a unit: seconds, unix, unix_ms, rfc3339 or auto")
	}
	b.provider.Locate(field, b.File(), b.Line())
	response.Expiry = append(response.Expiry, config.ExpiryRule{Path: arguments[0], Unit: arguments[1]})
	return nil
}
