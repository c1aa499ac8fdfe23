package oauth2llm

import "github.com/oauth2llm/caddy-oauth2-llm/config"

func (b *providerBlock) jwt() error {
	jwt := &b.provider.JWT
	return b.block("jwt", func(option string) error {
		field := "jwt." + option
		switch option {
		case "alg":
			return b.template(field, &jwt.Alg)
		case "key_file":
			return b.path(field, &jwt.KeyFile)
		case "key":
			return b.template(field, &jwt.Key)
		case "key_id":
			return b.template(field, &jwt.KeyID)
		case "certificate_file":
			return b.path(field, &jwt.CertificateFile)
		case "thumbprint":
			return b.template(field, &jwt.Thumbprint)
		case "x5c":
			return b.flag(field, &jwt.X5C)
		case "claim":
			return b.claim(jwt)
		case "header":
			return b.joseHeader(jwt)
		case "ttl":
			return b.text(field, &jwt.TTL)
		case "exp_unit":
			return b.template(field, &jwt.ExpUnit)
		case "iat_skew":
			return b.text(field, &jwt.IatSkew)
		}
		return b.unknown(option, "jwt", "alg", "key_file", "key", "key_id", "certificate_file", "thumbprint", "x5c",
			"claim", "header", "ttl", "exp_unit", "iat_skew")
	})
}

// claim parses a name and a value; several values are a list.
func (b *providerBlock) claim(jwt *config.JWT) error {
	arguments := b.RemainingArgs()
	if len(arguments) < 2 {
		return b.fail("jwt.claim", `takes a name and a value, or several; "" leaves the claim out`)
	}
	name := arguments[0]
	if err := b.begin("jwt.claims." + name); err != nil {
		return err
	}
	values := make([]config.Template, 0, len(arguments)-1)
	for _, argument := range arguments[1:] {
		values = append(values, template(b.Dispenser, argument))
	}
	if jwt.Claims == nil {
		jwt.Claims = make(map[string]config.JSONTemplate)
	}
	if len(values) == 1 {
		jwt.Claims[name] = config.JSONString(values[0])
	} else {
		jwt.Claims[name] = config.JSONList(values...)
	}
	return nil
}

func (b *providerBlock) joseHeader(jwt *config.JWT) error {
	name, value, err := b.pair("jwt.header")
	if err != nil {
		return err
	}
	if err := b.begin("jwt.header." + name); err != nil {
		return err
	}
	if jwt.Header == nil {
		jwt.Header = make(map[string]config.Template)
	}
	jwt.Header[name] = template(b.Dispenser, value)
	return nil
}
