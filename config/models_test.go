package config

import (
	"strings"
	"testing"
)

func TestWrongModelsAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ fields, field, says string }{
		"an empty name":                   {`"models":{"":{}}`, "models", "a name is empty"},
		"a name that is too long":         {`"models":{"` + strings.Repeat("m", 257) + `":{}}`, "models", "too long"},
		"a name with an empty segment":    {`"models":{"a//b":{}}`, "models", "empty segments"},
		"a name with a dot segment":       {`"models":{"a/../b":{}}`, "models", "a name is empty"},
		"a name with white space":         {`"models":{"a ":{}}`, "models", "white space"},
		"a wrong upstream name":           {`"models":{"a":{"upstream":"/x"}}`, "models", "a name is empty"},
		"an upstream name for any model":  {`"models":{"*":{"upstream":"x"}}`, "models.*", "stands for any model"},
		"an address of some only":         {`"models":{"a":{"base_url":"https://x.com"},"b":{}}`, "models.b.base_url", "other models have one"},
		"an address of all but any":       {`"models":{"a":{"base_url":"https://x.com"},"*":{}}`, "models.*.base_url", "other models have one"},
		"an unknown field":                {`"models":{"a":{"url":"x"}}`, "models.a.url", "unknown field"},
		"a path without a slash":          {`"paths":["v1/chat"]`, "paths", "must begin with / or *"},
		"a model that is a string":        {`"models":{"a":"b"}`, "models.a", "must be an object"},
		"{model} where there is no model": {`"scope":"{model}"`, "scope", "{model} can stand in base_url only"},
		"{model} in a header":             {`"header_up":{"set":{"X":["{model}"]}}`, "header_up.set.X", "may only hold"},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, fault(t, validFields+","+test.fields), test.field, test.says)
		})
	}
	if err := (Providers{
		"p":     valid(t, `"models":{"meta/llama-3":{},"small":{"upstream":"gpt-4o-mini"},"*":{}},"paths":["/v1/*","*"]`),
		"own":   valid(t, `"models":{"a":{"base_url":"https://x.com"},"b":{"base_url":"https://y.com"}}`),
		"mixed": valid(t, `"base_url":"https://x.com","models":{"a":{"base_url":"https://y.com"},"b":{}}`),
	}).validate(testEnvironment()); err != nil {
		t.Error(err)
	}
}
