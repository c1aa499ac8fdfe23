package config

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestAFieldOfAnotherTypeIsRefused(t *testing.T) {
	const text, object, list, number = "must be a string, not ", "must be an object, not ", "must be a list, not ", "must be a number, not "
	for name, test := range map[string]struct{ fields, field, want string }{
		"a list where a string is wanted":         {`"client_id":["CANARY"]`, "client_id", text + "a list"},
		"a list of scopes":                        {`"scope":["CANARY","CANARY2"]`, "scope", text + "a list; write one string, scopes separated by spaces"},
		"an object of scopes":                     {`"scope":{"CANARY":1}`, "scope", text + "an object"},
		"a number as client_secret":               {`"client_secret":4711`, "client_secret", text + "a number"},
		"true as token_url":                       {`"token_url":true`, "token_url", text + "true or false"},
		"null as refresh_token":                   {`"refresh_token":null`, "refresh_token", text + "null"},
		"a list as client_id_file":                {`"client_id_file":["CANARY"]`, "client_id_file", text + "a list"},
		"an object as client_secret_file":         {`"client_secret_file":{"CANARY":"CANARY"}`, "client_secret_file", text + "an object"},
		"a number as refresh_token_file":          {`"refresh_token_file":1`, "refresh_token_file", text + "a number"},
		"a number as auth_method":                 {`"auth_method":1`, "auth_method", text + "a number"},
		"a list as grant_type":                    {`"grant_type":["CANARY"]`, "grant_type", text + "a list"},
		"a string as token_request":               {`"token_request":"CANARY"`, "token_request", object + "a string"},
		"a list as params":                        {`"token_request":{"params":["CANARY"]}`, "token_request.params", object + "a list"},
		"a number as a parameter":                 {`"token_request":{"params":{"x":1}}`, "token_request.params.x", text + "a number"},
		"a parameter named timeout":               {`"token_request":{"params":{"timeout":1}}`, "token_request.params.timeout", text + "a number"},
		"a list as a parameter":                   {`"token_request":{"params":{"x":["CANARY"]}}`, "token_request.params.x", text + "a list"},
		"a string as a header":                    {`"token_request":{"headers":{"X":"CANARY"}}`, "token_request.headers.X", list + "a string"},
		"a number in a header":                    {`"token_request":{"headers":{"X":["CANARY",1]}}`, "token_request.headers.X", text + "a number"},
		"a list as headers":                       {`"token_request":{"headers":[{"X":"CANARY"}]}`, "token_request.headers", object + "a list"},
		"a number as method":                      {`"token_request":{"method":1}`, "token_request.method", text + "a number"},
		"a list as encoding":                      {`"token_request":{"encoding":["CANARY"]}`, "token_request.encoding", text + "a list"},
		"a number as timeout":                     {`"token_request":{"timeout":10}`, "token_request.timeout", text + `a number; write a duration such as "10s"`},
		"a string as retries":                     {`"token_request":{"retries":"CANARY"}`, "token_request.retries", number + "a string"},
		"null as retries":                         {`"token_request":{"retries":null}`, "token_request.retries", number + "null"},
		"a number as retry_on":                    {`"token_request":{"retry_on":404}`, "token_request.retry_on", list + "a number"},
		"a string in retry_on":                    {`"token_request":{"retry_on":["CANARY"]}`, "token_request.retry_on", number + "a string"},
		"a number as refresh_before":              {`"refresh_before":60`, "refresh_before", text + `a number; write a duration such as "10s"`},
		"a string as place":                       {`"place":"CANARY"`, "place", object + "a string"},
		"a list as place.header":                  {`"place":{"header":["CANARY"]}`, "place.header", text + "a list"},
		"null as place.prefix":                    {`"place":{"prefix":null}`, "place.prefix", text + "null"},
		"a list as header_up":                     {`"header_up":["CANARY"]`, "header_up", object + "a list"},
		"a string as a header of header_up":       {`"header_up":{"set":{"X":"CANARY"}}`, "header_up.set.X", list + "a string"},
		"a list as header_up.add":                 {`"header_up":{"add":["CANARY"]}`, "header_up.add", object + "a list"},
		"a list in a header of header_up":         {`"header_up":{"default":{"X":[["CANARY"]]}}`, "header_up.default.X", text + "a list"},
		"a string as header_up.delete":            {`"header_up":{"delete":"CANARY"}`, "header_up.delete", list + "a string"},
		"a number in header_up.delete":            {`"header_up":{"delete":[1]}`, "header_up.delete", text + "a number"},
		"a fraction as retries":                   {`"token_request":{"retries":1.5}`, "token_request.retries", "must be a whole number"},
		"retries beyond all numbers":              {`"token_request":{"retries":99999999999999999999}`, "token_request.retries", "must be a whole number such as 3"},
		"retries in scientific notation":          {`"token_request":{"retries":1e400}`, "token_request.retries", "must be a whole number"},
		"a fraction in retry_on":                  {`"token_request":{"retry_on":[404.5]}`, "token_request.retry_on", "must be a whole number"},
		"a word as timeout":                       {`"token_request":{"timeout":"CANARY"}`, "token_request.timeout", "must be a duration of at least 1ms"},
		"a number without a unit as timeout":      {`"token_request":{"timeout":"10"}`, "token_request.timeout", "must be a duration of at least 1ms"},
		"a negative timeout":                      {`"token_request":{"timeout":"-1s"}`, "token_request.timeout", "must be a duration of at least 1ms"},
		"a timeout of nothing":                    {`"token_request":{"timeout":"0s"}`, "token_request.timeout", "must be a duration of at least 1ms"},
		"an overflowing timeout":                  {`"token_request":{"timeout":"9999999999h"}`, "token_request.timeout", "must be a duration of at least 1ms"},
		"a word as refresh_before":                {`"refresh_before":"CANARY"`, "refresh_before", `must be "auto", or a duration`},
		"a refresh_before of nothing":             {`"refresh_before":"0"`, "refresh_before", `must be "auto", or a duration`},
		"a list as preset":                        {`"preset":["CANARY"]`, "preset", text + "a list"},
		"a list as vars":                          {`"vars":["CANARY"]`, "vars", object + "a list"},
		"a number as a variable":                  {`"vars":{"x":1}`, "vars.x", text + "a number"},
		"an object as source":                     {`"source":{"file":"CANARY"}`, "source", text + "an object"},
		"a string as jwt":                         {`"jwt":"CANARY"`, "jwt", object + "a string"},
		"a list as alg":                           {`"jwt":{"alg":["CANARY"]}`, "jwt.alg", text + "a list"},
		"a JSON Web Key that is not a string":     {`"jwt":{"key":{"kty":"CANARY"}}`, "jwt.key", text + "an object"},
		"a string as x5c":                         {`"jwt":{"x5c":"CANARY"}`, "jwt.x5c", "must be true or false, not a string"},
		"a list as claims":                        {`"jwt":{"claims":["CANARY"]}`, "jwt.claims", object + "a list"},
		"a number as a header of the JWT":         {`"jwt":{"header":{"a":1}}`, "jwt.header.a", text + "a number"},
		"a number as ttl":                         {`"jwt":{"ttl":300}`, "jwt.ttl", text + `a number; write a duration such as "10s"`},
		"a list as place.query":                   {`"place":{"query":["CANARY"]}`, "place.query", text + "a list"},
		"a word as ttl":                           {`"jwt":{"ttl":"CANARY"}`, "jwt.ttl", "must be a duration of at least 1ms"},
		"a negative skew":                         {`"jwt":{"iat_skew":"-1s"}`, "jwt.iat_skew", "must be 0, or a duration of at least 1ms"},
		"a claim is there twice":                  {`"jwt":{"claims":{"a":"CANARY","a":"CANARY"}}`, "jwt.claims.a", "is set twice"},
		"a claim's member is there twice":         {`"jwt":{"claims":{"a":[{"b":"CANARY","b":1}]}}`, "jwt.claims.a", "b is set twice"},
		"a body's member is there twice":          {`"token_request":{"body":{"a":"CANARY","a":"CANARY"}}`, "token_request.body", "a is set twice"},
		"a variable is there twice":               {`"vars":{"a":"CANARY","a":"CANARY"}`, "vars.a", "is set twice"},
		"a provider is null":                      {`"token_request":null`, "token_request", object + "null"},
		"a field is there twice":                  {`"client_secret":"CANARY","client_secret":"CANARY"`, "client_secret", "is set twice; keep one of them"},
		"a field is there twice, once empty":      {`"scope":"","scope":"CANARY"`, "scope", "is set twice"},
		"a field is there twice, once of no type": {`"scope":"CANARY","scope":["CANARY"]`, "scope", "is set twice"},
		"a parameter is there twice":              {`"token_request":{"params":{"x":"CANARY","x":"CANARY"}}`, "token_request.params.x", "is set twice"},
		"token_request is there twice":            {`"token_request":{},"token_request":{"params":{"x":"CANARY"}}`, "token_request", "is set twice"},
		"a header is there twice":                 {`"header_up":{"set":{"X":["CANARY"],"X":["CANARY"]}}`, "header_up.set.X", "is set twice"},
		"a parameter is there twice, in secret":   {`"token_request":{"params":{"CANARY y":"x","CANARY y":"x"}}`, "token_request.params.(a name of 8 bytes)", "is set twice"},
	} {
		t.Run(name, func(t *testing.T) {
			for form, decode := range map[string]func(string) error{
				"native JSON": func(fields string) error { _, err := native(t, fields); return err },
				"the file":    func(fields string) error { _, err := parse(fileWith(fields)); return err },
			} {
				err := decode(test.fields)
				wantError(t, err, test.field, test.want)
				wantNoCanary(t, err)
				if misconfigured, ok := errors.AsType[*ConfigurationError](err); ok && (misconfigured.Line == 1) != (form == "the file") {
					t.Errorf("in %s it stands in line %d", form, misconfigured.Line)
				}
			}
		})
	}
}

func TestAHintIsGivenOnlyWhereItFits(t *testing.T) {
	_, err := native(t, `"token_request":{"params":{"x_timeout":1,"timeout":1,"scope":["a"]}}`)
	if strings.Contains(err.Error(), "duration") || strings.Contains(err.Error(), "separated") {
		t.Errorf("got %v", err)
	}
}

func TestAFieldThatThereIsNotIsRefused(t *testing.T) {
	for name, test := range map[string]struct{ fields, field, want string }{
		"an unknown field":                         {`"audience":"CANARY"`, "audience", "unknown field; known are client_id, client_secret, token_url, scope, "},
		"a letter too many":                        {`"scopes":"CANARY"`, "scopes", "did you mean scope?"},
		"a letter missing":                         {`"client_secrt":"CANARY"`, "client_secrt", "did you mean client_secret?"},
		"two letters swapped":                      {`"tokne_url":"CANARY"`, "tokne_url", "did you mean token_url?"},
		"capitals":                                 {`"Client_ID":"CANARY"`, "Client_ID", "did you mean client_id?"},
		"camel case":                               {`"clientSecret":"CANARY"`, "clientSecret", "did you mean client_secret?"},
		"a dash":                                   {`"token-url":"CANARY"`, "token-url", "did you mean token_url?"},
		"in token_request":                         {`"token_request":{"param":{"x":"CANARY"}}`, "token_request.param", "did you mean params?"},
		"in token_request, without a guess":        {`"token_request":{"form":"CANARY"}`, "token_request.form", "known are params, headers, body, method, encoding, timeout, retries, retry_on"},
		"in place":                                 {`"place":{"cookie":"CANARY"}`, "place.cookie", "known are header, prefix, query"},
		"in header_up":                             {`"header_up":{"remove":["CANARY"]}`, "header_up.remove", "known are set, add, default, delete"},
		"a secret in the place of a name":          {`"CANARY CANARY":"x"`, "(a name of 13 bytes)", "unknown field"},
		"an empty name":                            {`"":"CANARY"`, "(a name of 0 bytes)", "unknown field"},
		"provider_name is the key, and no field":   {`"provider_name":"CANARY"`, "provider_name", "unknown field: a provider's name is the key that its object stands under; remove this field"},
		"a field that is not part of the format":   {`"origin":{"x":"CANARY"}`, "origin", "unknown field"},
		"a field of a later version, with a guess": {`"client_secret_files":"CANARY"`, "client_secret_files", "did you mean client_secret_file?"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := native(t, test.fields)
			wantError(t, err, test.field, test.want)
			wantNoCanary(t, err)
			_, err = parse(fileWith(test.fields))
			wantError(t, err, test.field, test.want, testFile+":1:")
			wantNoCanary(t, err)
		})
	}
}

func TestAllThatIsWrongIsFoundAtOnce(t *testing.T) {
	_, err := parse(`{"oauth2_providers":{
		"a":{"client_id":1,"scope":["CANARY"],"audience":"CANARY","token_request":{"timeout":"CANARY","retries":"CANARY","retries":1}},
		"b":{"scope":"CANARY","scope":"CANARY"},"":{},"c":"CANARY","a":{}}}`)
	want := []string{
		"a: client_id", "a: scope", "a: audience", "a: token_request.timeout", "a: token_request.retries", "a: token_request.retries",
		"b: scope", ": oauth2_providers", "c: ", "a: ",
	}
	if got := faultyFields(err); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	wantNoCanary(t, err)
}

const allFields = `"client_id":"1","client_secret":"2","token_url":"3","scope":"4","refresh_token":"5","client_id_file":"6",
	"client_secret_file":"7","refresh_token_file":"8","auth_method":"9","grant_type":"10",
	"token_request":{"params":{"a.b":"11"},"headers":{"X":["12","13"]},"method":"14","encoding":"15","timeout":"16s","retries":0,"retry_on":[418,404]},
	"refresh_before":"17m","place":{"header":"x-18","prefix":""},
	"header_up":{"set":{"A":["19"]},"add":{"B":["20",""]},"default":{"C":["21"]},"delete":["D-*"]}`

func TestAProviderIsTheSameAfterItWasWritten(t *testing.T) {
	for name, fields := range map[string]string{"with all fields": allFields, "with none": ""} {
		t.Run(name, func(t *testing.T) {
			before, err := native(t, fields)
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := json.Marshal(before)
			if err != nil {
				t.Fatal(err)
			}
			var after Providers
			if err := json.Unmarshal(encoded, &after); err != nil {
				t.Fatal(err)
			}
			if !Equal(before["p"], after["p"]) {
				t.Errorf("got %s", encoded)
			}
			var plain, written any
			if err := errors.Join(json.Unmarshal([]byte(`{"p":{`+fields+`}}`), &plain), json.Unmarshal(encoded, &written)); err != nil {
				t.Fatal(err)
			}
			plainText, _ := json.Marshal(plain)
			writtenText, _ := json.Marshal(written)
			if name == "with all fields" && strings.Replace(string(plainText), "17m", "17m0s", 1) != string(writtenText) {
				t.Errorf("got %s, want %s", writtenText, plainText)
			}
		})
	}
}

func TestEmptyMapsAndListsAreNone(t *testing.T) {
	providers, err := native(t, `"token_request":{"params":{},"headers":{},"retry_on":[]},"place":{},"header_up":{"set":{},"add":{},"default":{},"delete":[]}`)
	if err != nil || !Equal(providers["p"], &Provider{}) {
		t.Errorf("got %v", err)
	}
}

func TestNativeJSONThatHoldsNoProviders(t *testing.T) {
	providers := Providers{"p": {}}
	if err := json.Unmarshal([]byte("null"), &providers); err != nil || len(providers) != 1 {
		t.Errorf("null changes what is there: %v, %v", providers, err)
	}
	for name, content := range map[string]string{
		"a list": `["CANARY"]`, "a string": `"CANARY"`, "no JSON": `{"CANARY"`, "bytes that are not UTF-8": "{\"CANARY\xff\":{}}", "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			err := providers.UnmarshalJSON([]byte(content))
			misconfigured, ok := errors.AsType[*ConfigurationError](err)
			if !ok || misconfigured.File != "" || misconfigured.Line != 0 {
				t.Fatalf("got %v", err)
			}
			wantNoCanary(t, err)
			if len(providers) != 1 {
				t.Errorf("what is wrong changes what is there: %v", providers)
			}
		})
	}
}
