package llm

import "testing"

func TestWhichAnswersRefuseAToken(t *testing.T) {
	for name, test := range map[string]struct {
		status     int
		challenges []string
		want       bool
	}{
		"401 says so by itself":                        {401, nil, true},
		"401 with another error":                       {401, []string{`Bearer error="insufficient_scope"`}, true},
		"403 alone":                                    {403, nil, false},
		"403 of an invalid token":                      {403, []string{`Bearer realm="x", error="invalid_token", error_description="The access token expired"`}, true},
		"400 of an invalid token":                      {400, []string{`Bearer error="invalid_token"`}, true},
		"a status of its own":                          {498, []string{`Bearer error="invalid_token"`}, true},
		"an error that is a token":                     {403, []string{`Bearer error=invalid_token`}, true},
		"the scheme in small letters":                  {403, []string{`bearer ERROR="invalid_token"`}, true},
		"spaces around the equals sign":                {403, []string{`Bearer error = "invalid_token"`}, true},
		"behind another challenge":                     {403, []string{`Basic realm="x", Bearer error="invalid_token"`}, true},
		"in front of another challenge":                {403, []string{`Bearer error="invalid_token", Basic realm="x"`}, true},
		"in a second field":                            {403, []string{`Basic realm="x"`, `Bearer error="invalid_token"`}, true},
		"a quote in a realm":                           {403, []string{`Bearer realm="a\"b", error="invalid_token"`}, true},
		"another error":                                {403, []string{`Bearer error="insufficient_scope"`}, false},
		"an error that begins so":                      {403, []string{`Bearer error="invalid_token_type"`}, false},
		"the words in a realm":                         {403, []string{`Bearer realm="error=\"invalid_token\""`}, false},
		"the words in a realm, without escapes":        {403, []string{`Bearer realm="Bearer error=invalid_token"`}, false},
		"the error of another scheme":                  {403, []string{`DPoP error="invalid_token"`}, false},
		"the error of another scheme behind Bearer":    {403, []string{`Bearer realm="x", DPoP error="invalid_token"`}, false},
		"a quoted string that does not end":            {403, []string{`Bearer error="invalid_token`}, false},
		"nothing":                                      {403, []string{""}, false},
		"commas and spaces":                            {403, []string{" , ,, "}, false},
		"an equals sign alone":                         {403, []string{"="}, false},
		"an answer that is fine":                       {200, []string{`Bearer error="invalid_token"`}, false},
		"a redirect":                                   {302, []string{`Bearer error="invalid_token"`}, false},
		"a server's error, which is not about a token": {500, []string{`Bearer error="invalid_token"`}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := RefusesToken(test.status, test.challenges); got != test.want {
				t.Errorf("RefusesToken is %v", got)
			}
		})
	}
}
