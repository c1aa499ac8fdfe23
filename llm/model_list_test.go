package llm

import (
	"encoding/json"
	"net/http"
	"reflect"
	"testing"
	"time"
)

func TestAModelListIsReadByBothKindsOfClients(t *testing.T) {
	created := time.Date(2026, 11, 24, 12, 0, 0, 0, time.FixedZone("", 3600))
	for name, test := range map[string]struct {
		models []ModelInfo
		want   string
	}{
		"none": {nil, `{"object":"list","data":[],"has_more":false,"first_id":null,"last_id":null}`},
		"two": {
			[]ModelInfo{{`a/"quoted"`, "a", created}, {"b/m", "b", created}},
			`{"object":"list","data":[
				{"id":"a/\"quoted\"","object":"model","type":"model","display_name":"a/\"quoted\"","created":1795518000,"created_at":"2026-11-24T11:00:00Z","owned_by":"a"},
				{"id":"b/m","object":"model","type":"model","display_name":"b/m","created":1795518000,"created_at":"2026-11-24T11:00:00Z","owned_by":"b"}
			],"has_more":false,"first_id":"a/\"quoted\"","last_id":"b/m"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got, want any
			list := AppendModelList(nil, test.models)
			if err := json.Unmarshal(list, &got); err != nil {
				t.Fatalf("%v: %s", err, list)
			}
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %s", list)
			}
		})
	}
}

func TestQuestionsForModels(t *testing.T) {
	for _, test := range []struct {
		method, path    string
		list, retrieval bool
	}{
		{http.MethodGet, "/v1/models", true, false},
		{http.MethodHead, "/v1/models", true, false},
		{http.MethodGet, "/v1/models/", true, true},
		{http.MethodGet, "/models", true, false},
		{http.MethodGet, "/v1/models/a/b", false, true},
		{http.MethodGet, "/openai/models", true, false},
		{http.MethodHead, "/openai/models/", true, true},
		{http.MethodGet, "/openai/v1/models", true, false},
		{http.MethodGet, "/openai/models/a", false, true},
		{http.MethodHead, "/openai/v1/models/a/b", false, true},
		{http.MethodPost, "/openai/models", false, false},
		{http.MethodPost, "/openai/v1/models/a", false, false},
		{http.MethodGet, "/openai/models//", false, true},
		{http.MethodGet, "/openai/v2/models", false, false},
		{http.MethodGet, "/v1/modelsx", false, false},
		{http.MethodGet, "/x/v1/models", false, false},
		{http.MethodPost, "/v1/models", false, false},
		{http.MethodOptions, "/v1/models", false, false},
		{http.MethodDelete, "/v1/models/a/b", false, false},
	} {
		if list, retrieval := IsModelList(test.method, test.path), IsModelRetrieval(test.method, test.path); list != test.list || retrieval != test.retrieval {
			t.Errorf("%s %s: list %t, retrieval %t", test.method, test.path, list, retrieval)
		}
	}
}
