package llm

import (
	"net/http"
	"strings"
	"testing"
)

func TestWhatReachesNothingButItsModel(t *testing.T) {
	const post, get = http.MethodPost, http.MethodGet
	for _, test := range []struct {
		method, target string
		where          Location
		want           bool
	}{
		{post, "/v1/chat/completions", InBody, true},
		{post, "/chat/completions?api-version=1", InBody, true},
		{post, "/openai/v1/responses", InBody, true},
		{post, "/anthropic/v1/messages/count_tokens", InBody, true},
		{post, "/v1/images/edits", InForm, true},
		{post, "/v1/embeddings?model=a", InBody | InQuery, true},
		{post, "/openai/deployments/a%2Fb/chat/completions?api-version=1", 0, true},
		{post, "/deployments/a/embeddings", 0, true},
		{post, "/openai/deployments/a/b/chat/completions", 0, true},
		{post, "/openai/deployments/a/meta/llama-3/messages/count_tokens", InBody, true},
		{post, "/deployments/a/b/audio/transcriptions", InForm, true},
		{post, "/openai/responses?api-version=1", InBody, true},
		{post, "/v1beta/models/a%2Fb:generateContent", 0, true},
		{post, "/v1beta/models/a/b:streamGenerateContent?alt=sse", 0, true},
		{post, "/v1/models/a:countTokens", InBody, true},
		{post, "/models/a:embedContent", 0, true},
		{post, "/v1beta1/models/a:predict", 0, true},
		{get, "/openai/models/a", 0, true},
		{get, "/openai/v1/models/a/b", 0, true},
		{get, "/v1/models/a/b", 0, true},
		{get, "/v1/realtime?model=a", 0, true},
		{get, "/openai/realtime?model=a&api-version=1", 0, true},
		{http.MethodConnect, "/v1/realtime?model=a", 0, true},

		// Stored completions, a fine-tuned model.
		{get, "/v1/chat/completions", InBody, false},
		{http.MethodDelete, "/v1/models/a/b", 0, false},
		{http.MethodDelete, "/openai/v1/files/file-1", InBody, false},
		{get, "/openai/v1/responses/resp_1", InBody, false},
		{post, "/v1/files", InForm, false},
		{post, "/v1/batches", InBody, false},
		{post, "/v1/messages/batches", InBody, false},
		// Servers that see no difference.
		{post, "/v1//batches", InBody, false},
		{post, "/v1/files;x/file-1", InBody, false},
		{post, "/v1/v1/files", InBody, false},
		{post, "/v1/chat%2Fcompletions", InBody, false},
		// Paths that name a model to those who know.
		{post, "/v1/forbidden/invocations", InBody, false},
		{post, "/v1/forbidden/chat/completions", InBody, false},
		{post, "/model/forbidden/invoke", InBody, false},
		{post, "/openai/deployments/a/files", 0, false},
		{post, "/x/deployments/a/chat/completions", 0, false},
		{post, "/openai/deployments/a/deployments/b/chat/completions", 0, false},
		{post, "/openai/deployments/a/%63hat/completions", 0, false},
		{post, "/openai/deployments/a/b/files", 0, false},
		{post, "/Openai/deployments/a/b/chat/completions", 0, false},
		{get, "/openai/deployments/a/b/chat/completions", 0, false},
		{post, "/openai/deployments/a/b/chat/completions/", 0, false},
		// Parts that name models themselves, verbs that nobody knows.
		{post, "/v1beta/models/a:batchEmbedContents", 0, false},
		{post, "/v1beta/models/a:predictLongRunning", 0, false},
		{post, "/v1beta/models/a:GenerateContent", 0, false},
		{post, "/v1beta/models/a", 0, false},
		{post, "/v1beta/models/a/b/countTokens", 0, false},
		{get, "/v1beta/models/a:generateContent", 0, false},
		{post, "/v1/projects/p/models/a:generateContent", 0, false},
		{post, "/v1beta/%6dodels/a:generateContent", 0, false},
		{http.MethodPut, "/v1beta/models/a:generateContent", 0, false},
		// Sessions hold their models deeper, or in Azure's parameter.
		{post, "/v1/realtime/client_secrets?model=a", 0, false},
		{post, "/v1/realtime?model=a", 0, false},
		{get, "/openai/realtime?model=a&Deployment=forbidden", 0, false},
		{get, "/openai/realtime?model=a&x=%zz", 0, false},
		{get, "/openai/v1/files/realtime?model=a", 0, false},
		{post, "/v1/chat/completions?model=a", 0, false},
		{post, "/v1/chat/completions", 0, false},
	} {
		t.Run(test.method+" "+test.target, func(t *testing.T) {
			u := parseTarget(t, test.target)
			found, err := FindInURL(test.method, u)
			if err != nil {
				// Nobody is asked then.
				if test.want {
					t.Fatal(err)
				}
				return
			}
			found.Where |= test.where
			if got := IsModelCall(test.method, u, found); got != test.want {
				t.Errorf("%t for what was found in %d, want %t", got, found.Where, test.want)
			}
		})
	}
}

func TestWhichRequestsOnlyRunAModel(t *testing.T) {
	for target, want := range map[string]bool{
		"POST /v1/chat/completions": true,
		"POST /chat/completions":    true,
		"POST /v1/responses":        true,
		"POST /openai/deployments/a%2Fb/chat/completions?api-version=1":    true,
		"POST /openai/deployments/a/b/audio/transcriptions":                true,
		"POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=s": true,
		"POST /v1beta/models/a%2Fb:generateContent":                        true,
		"GET /v1/chat/completions":                                         false,
		"POST /v1/batches":                                                 false,
		"POST /v1/messages/batches":                                        false,
		"POST /v1/files":                                                   false,
		"POST /v1/fine_tuning/jobs":                                        false,
		"POST /v1/responses/resp_1/cancel":                                 false,
		"POST /openai/deployments/a/batches":                               false,
		"POST /v1beta/models/a:batchGenerateContent":                       false,
		"DELETE /v1/models/a":                                              false,
	} {
		t.Run(target, func(t *testing.T) {
			method, path, _ := strings.Cut(target, " ")
			if got := RunsModel(method, parseTarget(t, path)); got != want {
				t.Errorf("RunsModel is %v", got)
			}
		})
	}
}
