package config

import (
	"strings"
	"testing"
)

const (
	// privateKey are the fields of a provider that signs with <rsa>, but for the
	// closing brace of jwt.
	privateKey = `"client_id":"i","token_url":"https://idp.example.com/t","auth_method":"private_key_jwt","jwt":{"alg":"RS256","key_file":"<rsa>"`
	// signer is the same without algorithm and key.
	signer = `"client_id":"i","token_url":"https://idp.example.com/t","auth_method":"private_key_jwt","jwt":{`
	// selfSigned is a token of our own.
	selfSigned = `"source":"self_signed","jwt":{`
)

func TestAWrongJWTIsRefused(t *testing.T) {
	files := signingFiles(t)
	for name, test := range map[string]struct{ fields, field, want string }{
		"a secret beside a key":                  {privateKey + `},"client_secret":"CANARY"`, "client_secret", "auth_method private_key_jwt does not send it"},
		"the file of a secret beside a key":      {privateKey + `},"client_secret_file":"<secret>"`, "client_secret_file", "does not send it"},
		"private_key_jwt without a jwt block":    {`"client_id":"i","token_url":"https://x.com","auth_method":"private_key_jwt"`, "jwt", "is missing: a JWT must be signed; write a block with alg and key_file"},
		"self_signed without a jwt block":        {`"source":"self_signed"`, "jwt", "is missing: a JWT must be signed; write a block with alg and key_file"},
		"{jwt} without a jwt block":              {validFields + `,"scope":"CANARY{jwt}"`, "scope", "need a jwt block"},
		"{jwt} in a body without a jwt block":    {validFields + `,"token_request":{"body":{"a":["CANARY{jwt}"]}}`, "token_request.body", "need a jwt block"},
		"a fingerprint without a jwt block":      {validFields + `,"token_request":{"headers":{"X":["{key_fingerprint}"]}}`, "token_request.headers.X", "need a jwt block"},
		"a jwt block that nothing uses":          {validFields + `,"jwt":{"alg":"RS256","key_file":"<rsa>"}`, "jwt", "is not used: set auth_method private_key_jwt"},
		"a jwt block that a file does not use":   {`"source":"file <token>","jwt":{"alg":"RS256","key_file":"<rsa>"}`, "jwt", "is not used"},
		"no alg":                                 {signer + `"key_file":"<rsa>"}`, "jwt.alg", "required, but missing: write the algorithm"},
		"no key":                                 {signer + `"alg":"RS256"}`, "jwt.key_file", "required, but missing or empty"},
		"two keys":                               {privateKey + `,"key":"CANARY"}`, "jwt.key_file", "is set beside jwt.key; keep one of them"},
		"HS256 with private_key_jwt":             {signer + `"alg":"HS256","key_file":"<secret>"}`, "jwt.alg", "must not sign with a secret for private_key_jwt"},
		"HS256 of a variable with a private key": {signer + `"alg":"{env.HS}","key_file":"<rsa>"}`, "jwt.alg", "must not sign with a secret for private_key_jwt"},
		"RS256 with client_secret_jwt":           {validFields + `,"auth_method":"client_secret_jwt","jwt":{"alg":"RS256"}`, "jwt.alg", "must be HS256, HS384 or HS512"},
		"RS256 of a variable with a secret":      {validFields + `,"auth_method":"client_secret_jwt","jwt":{"alg":"os.environ/RS"}`, "jwt.alg", "must be HS256, HS384 or HS512"},
		"a key with client_secret_jwt":           {validFields + `,"auth_method":"client_secret_jwt","jwt":{"key":"CANARY"}`, "jwt.key", "client_secret_jwt signs with client_secret"},
		"a key file with client_secret_jwt":      {validFields + `,"auth_method":"client_secret_jwt","jwt":{"key_file":"<secret>"}`, "jwt.key", "client_secret_jwt signs with client_secret"},
		"client_secret_jwt without a secret":     {`"client_id":"i","token_url":"https://x.com","auth_method":"client_secret_jwt"`, "client_secret", "required, but missing"},
		"client_secret_jwt with a short secret":  {`"client_id":"i","client_secret":"CANARY","token_url":"https://x.com","auth_method":"client_secret_jwt"`, "client_secret", "is shorter than 16 bytes"},
		"a short secret in a file":               {`"client_id":"i","client_secret_file":"<nothing>","token_url":"https://x.com","auth_method":"client_secret_jwt","jwt":{"alg":"RS256"}`, "jwt.alg", "must be HS256"},

		"an unknown alg":         {signer + `"alg":"CANARY","key_file":"<rsa>"}`, "jwt.alg", "must be one of RS256"},
		"the alg none":           {signer + `"alg":"none","key_file":"<rsa>"}`, "jwt.alg", "must be one of RS256"},
		"an unknown thumbprint":  {privateKey + `,"certificate_file":"<certificate>","thumbprint":"CANARY"}`, "jwt.thumbprint", "must be one of none, x5t, x5t#S256"},
		"an unknown unit of exp": {privateKey + `,"exp_unit":"CANARY"}`, "jwt.exp_unit", "must be one of s, ms"},
		"a file in a word":       {signer + `"alg":"{file./CANARY}","key_file":"<rsa>"}`, "jwt.alg", "may only hold {env.NAME}"},

		"an encrypted key":                  {signer + `"alg":"ES256","key_file":"<encrypted>"}`, "jwt.key_file", "<encrypted> is encrypted: decrypt it first"},
		"a key encrypted in the old way":    {signer + `"alg":"ES256","key_file":"<old-encrypted>"}`, "jwt.key_file", "<old-encrypted> is encrypted: decrypt it first"},
		"a key of 512 bits":                 {signer + `"alg":"RS256","key_file":"<short>"}`, "jwt.key_file", "<short> has 512 bits; an RSA key needs at least 2048"},
		"an EC key for RS256":               {signer + `"alg":"RS256","key_file":"<ec>"}`, "jwt.key_file", "<ec> is a P-256 key, but RS256 needs an RSA key"},
		"an RSA key for ES256":              {signer + `"alg":"ES256","key_file":"<rsa>"}`, "jwt.key_file", "<rsa> is an RSA key, but ES256 needs a P-256 key"},
		"a P-256 key for ES384":             {signer + `"alg":"ES384","key_file":"<ec>"}`, "jwt.key_file", "is a P-256 key, but ES384 needs a P-384 key"},
		"an RSA key for EdDSA":              {signer + `"alg":"EdDSA","key_file":"<rsa>"}`, "jwt.key_file", "needs an Ed25519 key"},
		"a public key":                      {signer + `"alg":"RS256","key_file":"<public>"}`, "jwt.key_file", "<public> is a public key; signing needs the private one"},
		"a public JSON Web Key":             {signer + `"alg":"RS256","key_file":"<public-jwk>"}`, "jwt.key_file", "is a public key"},
		"JSON that is not a key":            {signer + `"alg":"RS256","key_file":"<account>"}`, "jwt.key_file", "is JSON, but not a JSON Web Key"},
		"a file that holds no key":          {signer + `"alg":"RS256","key_file":"<nothing>"}`, "jwt.key_file", "<nothing> must be a private key"},
		"a certificate as key":              {signer + `"alg":"RS256","key_file":"<certificate>"}`, "jwt.key_file", "must be a private key"},
		"a literal other than a key":        {signer + `"alg":"RS256","key":"CANARY"}`, "jwt.key", "must be a private key"},
		"the wrong member as key":           {signer + `"alg":"RS256","key":"{json.<account>#id}"}`, "jwt.key", "must be a private key"},
		"a member that is missing":          {signer + `"alg":"RS256","key":"{json.<account>#nope}"}`, "jwt.key", "<account> has no member nope"},
		"a key file that is missing":        {signer + `"alg":"RS256","key_file":"/missing"}`, "jwt.key_file", "the file /missing cannot be read"},
		"a variable that is not set as key": {signer + `"alg":"RS256","key":"{env.UNSET}"}`, "jwt.key", "UNSET is not set"},
		"a short secret":                    {selfSigned + `"alg":"HS256","key":"CANARY"}`, "jwt.key", "is shorter than 16 bytes"},

		"a thumbprint without a certificate":  {privateKey + `,"thumbprint":"x5t"}`, "jwt.certificate_file", "required by thumbprint and x5c, but missing"},
		"x5c without a certificate":           {privateKey + `,"x5c":true}`, "jwt.certificate_file", "required by thumbprint and x5c, but missing"},
		"a certificate that is not named":     {privateKey + `,"certificate_file":"<certificate>","thumbprint":"none"}`, "jwt.certificate_file", "is not used: set thumbprint or x5c"},
		"the certificate of another key":      {privateKey + `,"certificate_file":"<other-certificate>"}`, "jwt.certificate_file", "<other-certificate> is the certificate of another key"},
		"a file without a certificate":        {privateKey + `,"certificate_file":"<nothing>"}`, "jwt.certificate_file", "<nothing> holds no certificate in PEM"},
		"a certificate file that is missing":  {privateKey + `,"certificate_file":"/missing"}`, "jwt.certificate_file", "the file /missing cannot be read"},
		"a certificate of a secret":           {selfSigned + `"alg":"HS256","key_file":"<secret>","certificate_file":"<certificate>"}`, "jwt.certificate_file", "a secret has no certificate"},
		"a header that key_id stands for":     {privateKey + `,"header":{"kid":"CANARY"}}`, "jwt.header.kid", "set the field jwt.key_id instead"},
		"a header that alg stands for":        {privateKey + `,"header":{"alg":"CANARY"}}`, "jwt.header.alg", "set the field jwt.alg instead"},
		"a header that thumbprint stands for": {privateKey + `,"header":{"x5t#S256":"CANARY"}}`, "jwt.header.(a name of 8 bytes)", "set the field jwt.thumbprint instead"},
		"a header that nobody may set":        {privateKey + `,"header":{"crit":"CANARY"}}`, "jwt.header", "one that cannot be set here"},
		"a header without a name":             {privateKey + `,"header":{"":"CANARY"}}`, "jwt.header", "a name is empty"},
		"a claim without a name":              {privateKey + `,"claims":{"":"CANARY"}}`, "jwt.claims", "a name is empty"},
		"a claim with an open brace":          {privateKey + `,"claims":{"a":["CANARY{"]}}`, "jwt.claims.a", `write a literal brace as \{`},
		"a ttl that is too long":              {privateKey + `,"ttl":"24h1s"}`, "jwt.ttl", "at most 24h"},
		"a skew that is too long":             {privateKey + `,"iat_skew":"61m"}`, "jwt.iat_skew", "at most 1h"},
		"a ttl that is too short":             {privateKey + `,"ttl":"500ms","iat_skew":"0"}`, "jwt.ttl", "at least 1s"},
		"a ttl that the standard skew eats":   {privateKey + `,"ttl":"10s"}`, "jwt.ttl", "must be more than iat_skew, which is 10s, because exp counts from iat"},
		"a skew of the standard ttl":          {privateKey + `,"iat_skew":"5m"}`, "jwt.ttl", "must be more than iat_skew, which is 5m0s"},
		"a ttl of nothing":                    {privateKey + `,"ttl":"0s"}`, "jwt.ttl", "must be a duration of at least 1ms"},

		"{jwt} in a claim":               {privateKey + `,"claims":{"a":"CANARY{jwt}"}}`, "jwt.claims.a", "itself"},
		"{jwt} in a header of the JWT":   {privateKey + `,"header":{"a":"{jwt}"}}`, "jwt.header.a", "itself"},
		"{jwt} in the key":               {signer + `"alg":"RS256","key":"{jwt}"}`, "jwt.key", "itself"},
		"a fingerprint in the key":       {signer + `"alg":"RS256","key":"{key_fingerprint}"}`, "jwt.key", "refers to itself"},
		"the fingerprint of a secret":    {selfSigned + `"alg":"HS256","key_file":"<secret>","claims":{"a":"{key_fingerprint}"}}`, "jwt.key_file", "has no public key"},
		"a missing token URL":            {selfSigned + `"alg":"RS256","key_file":"<rsa>","claims":{"aud":"{token_url}"}}`, "jwt.claims.aud", "{token_url} needs a token_url that is valid"},
		"a token of nobody in a claim":   {privateKey + `,"claims":{"a":{"b":["{token.q}"]}}}`, "jwt.claims.a", "{token.q}: no provider of this name is declared"},
		"the provider's token in a body": {validFields + `,"token_request":{"body":{"a":"{token.p}"}}`, "token_request.body", "p → p"},
		"its token in a claim":           {privateKey + `,"claims":{"a":"{token.p}"}}`, "jwt.claims.a", "p → p"},
	} {
		t.Run(name, func(t *testing.T) {
			err := faultOfSigner(t, files.Replace(test.fields))
			wantError(t, err, test.field, files.Replace(test.want))
			wantNoCanary(t, err)
			wantNoKey(t, err)
		})
	}
}

// faultOfSigner is fault with algorithms in variables.
func faultOfSigner(t *testing.T, fields string) error {
	t.Helper()
	providers, err := native(t, fields)
	if err != nil {
		return err
	}
	return providers.validate(signersEnvironment())
}

func signersEnvironment() Environment {
	environment := testEnvironment()
	return with(environment, map[string]string{
		"HS": "HS256", "RS": "RS256", "KEY": strings.ReplaceAll(privatePEM(rsaKey()), "\n", `\n`), "LONG": hsKey, "MS": "ms", "NONE": "none",
	})
}

// with is an environment that has more variables.
func with(environment Environment, more map[string]string) Environment {
	lookup := environment.LookupEnv
	environment.LookupEnv = func(name string) (string, bool) {
		if value, ok := more[name]; ok {
			return value, true
		}
		return lookup(name)
	}
	return environment
}

// wantNoKey checks that no line of a key is shown.
func wantNoKey(t *testing.T, err error) {
	t.Helper()
	for _, key := range []string{privatePEM(rsaKey()), privatePEM(ecKey()), shortKeyPEM, encryptedKeyPEM, oldEncryptedKeyPEM, hsKey} {
		for line := range strings.Lines(key) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && line != "" && strings.Contains(err.Error(), line) {
				t.Errorf("the error shows a line of a key: %v", err)
			}
		}
	}
}

func TestARightJWTIsAccepted(t *testing.T) {
	files := signingFiles(t)
	const withSecret = `"client_id":"i","client_secret":"{env.LONG}","token_url":"https://idp.example.com/t","auth_method":"client_secret_jwt"`
	for name, fields := range map[string]string{
		"a key in PKCS #8":                           privateKey + `}`,
		"a key in PKCS #1":                           signer + `"alg":"PS512","key_file":"<pkcs1>"}`,
		"a key in SEC 1":                             signer + `"alg":"ES256","key_file":"<sec1>"}`,
		"an EC key in PKCS #8":                       signer + `"alg":"ES256","key_file":"<ec>"}`,
		"an Ed25519 key":                             signer + `"alg":"EdDSA","key_file":"<ed>"}`,
		"a JSON Web Key":                             signer + `"alg":"RS256","key_file":"<jwk>"}`,
		"a key of a variable, its lines escaped":     signer + `"alg":"RS256","key":"{env.KEY}"}`,
		"a key of os.environ/":                       signer + `"alg":"RS256","key":"os.environ/KEY"}`,
		"a key of a member of a JSON file":           signer + `"alg":"RS256","key":"{json.<account>#private_key}","key_id":"{json.<account>#id}"}`,
		"a key of a file in a value":                 signer + `"alg":"RS256","key":"{file.<rsa>}"}`,
		"an algorithm of a variable":                 signer + `"alg":"os.environ/RS","key_file":"<rsa>","exp_unit":"{env.MS}"}`,
		"a certificate":                              privateKey + `,"certificate_file":"<certificate>"}`,
		"a certificate in all ways":                  privateKey + `,"certificate_file":"<certificate>","thumbprint":"x5t","x5c":true}`,
		"a certificate in x5c alone":                 privateKey + `,"certificate_file":"<certificate>","thumbprint":"none","x5c":true}`,
		"no thumbprint":                              privateKey + `,"thumbprint":"none"}`,
		"claims of any JSON":                         privateKey + `,"claims":{"a":1,"b":[true,null,"{uuid}"],"c":{"d":"{env.ID}"},"iat":"","nbf":"{now}"}}`,
		"claims with the token of another provider":  privateKey + `,"claims":{"a":"{key_fingerprint}","b":"{token_url}"}}`,
		"headers of the JWT":                         privateKey + `,"header":{"typ":"x","sign_type":"{env.ID}"}}`,
		"the greatest times":                         privateKey + `,"ttl":"24h","iat_skew":"1h"}`,
		"the least times":                            privateKey + `,"ttl":"1s","iat_skew":"0"}`,
		"client_secret_jwt without a jwt block":      withSecret,
		"client_secret_jwt with a block":             withSecret + `,"jwt":{"alg":"HS512","ttl":"1m","claims":{"aud":"x"}}`,
		"client_secret_jwt with the alg of a file":   withSecret + `,"jwt":{"alg":"{env.HS}"}`,
		"client_secret_jwt and {jwt}":                withSecret + `,"token_request":{"params":{"x":"{jwt}"}}`,
		"client_secret_jwt with a secret of a file":  `"client_id":"i","client_secret_file":"<secret>","token_url":"https://idp.example.com/t","auth_method":"client_secret_jwt"`,
		"{jwt} in a parameter":                       noSecret + `,"grant_type":"urn:x","token_request":{"params":{"assertion":"{jwt}"}},"jwt":{"alg":"RS256","key_file":"<rsa>"}`,
		"{jwt} in a header":                          noSecret + `,"token_request":{"headers":{"Authorization":["Bearer {jwt}"]}},"jwt":{"alg":"RS256","key_file":"<rsa>"}`,
		"{jwt} in a body":                            noSecret + `,"token_request":{"body":{"a":[{"b":"{jwt}"}]}},"jwt":{"alg":"RS256","key_file":"<rsa>"}`,
		"{jwt} beside a secret":                      validFields + `,"token_request":{"params":{"assertion":"{jwt}"}},"jwt":{"alg":"HS256","key_file":"<secret>"}`,
		"none without client_id for another grant":   `"token_url":"https://idp.example.com/t","auth_method":"none","grant_type":"urn:ietf:params:oauth:grant-type:jwt-bearer","token_request":{"params":{"assertion":"{jwt}"}},"jwt":{"alg":"RS256","key_file":"<rsa>"}`,
		"none with client_id for another grant":      noSecret + `,"grant_type":"none"`,
		"a token of our own":                         selfSigned + `"alg":"RS256","key_file":"<rsa>"}`,
		"a token of our own, signed with a secret":   selfSigned + `"alg":"HS256","key":"{env.LONG}","claims":{"iat":""}}`,
		"a thumbprint none of a variable, and a key": privateKey + `,"thumbprint":"{env.NONE}"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := faultOfSigner(t, files.Replace(fields)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAFaultOfASecretThatSignsIsReportedOnce(t *testing.T) {
	const fields = `"client_id":"i","token_url":"https://idp.example.com/t","auth_method":"client_secret_jwt","client_secret":`
	if got := faultyFields(fault(t, fields+`"{env.UNSET}"`)); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	providers, err := native(t, fields+`"CANARY CANARY CANARY"`)
	if err != nil {
		t.Fatal(err)
	}
	if warnings := providers["p"].warnings(DefaultEnvironment()); len(warnings) != 1 || warnings[0].Field != "client_secret" {
		t.Errorf("got the warnings %v", warnings)
	}
}
