package oauth2llm

import "github.com/oauth2llm/caddy-oauth2-llm/config"

func (b *providerBlock) jwt() error {
	jwt := &b.provider.JWT
	templates := map[string]*config.Template{
		"alg": &jwt.Alg, "key": &jwt.Key, "key_id": &jwt.KeyID, "thumbprint": &jwt.Thumbprint, "exp_unit": &jwt.ExpUnit,
	}
	files := map[string]*config.Path{"key_file": &jwt.KeyFile, "certificate_file": &jwt.CertificateFile}
	return b.block("jwt", func(option string) error {
		field := "jwt." + option
		switch {
		case templates[option] != nil:
			return b.template(field, templates[option])
		case files[option] != nil:
			return b.path(field, files[option])
		case option == "ttl":
			return b.text(field, &jwt.TTL)
		case option == "iat_skew":
			jwt.IatSkew = new(config.Skew)
			return b.text(field, jwt.IatSkew)
		case option == "x5c":
			return b.flag(field, &jwt.X5C)
		case option == "claim":
			return b.claim(jwt)
		case option == "header":
			return b.joseHeader(jwt)
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
