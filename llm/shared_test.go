package llm

import "testing"

func TestWhatIsSharedByAllWhoUseAnAccount(t *testing.T) {
	for path, want := range map[string]bool{
		"/v1/files": true, "/v1/files/file-1/content": true, "/files": true, "/V1/Files": true, "/v1/batches": true,
		"/v1/messages/batches": true, "/v1/messages/batches/b/results": true, "/v1/responses/resp_1": true, "/v1/responses/resp_1/input_items": true,
		"/v1/chat/completions/c": true, "/v1/vector_stores": true, "/v1/threads/t/runs": true, "/v1/uploads": true, "/v1/fine_tuning/jobs": true,
		"/v1/chat/completions": false, "/v1/responses": false, "/v1/responses/": true, "/v1/messages": false, "/v1/messages/count_tokens": false,
		"/v1/embeddings": false, "/v1/models": false, "/v1/filesystem": false, "/v1/images/edits": false, "": false,
	} {
		if IsSharedResource(path) != want {
			t.Errorf("%q is shared: %t, want %t", path, !want, want)
		}
	}
}

func TestARealtimeSessionIsKnownByItsPath(t *testing.T) {
	for path, want := range map[string]bool{
		"/v1/realtime": true, "/openai/realtime": true, "/v1/realtime/sessions": true, "/v1/realtimes": false, "/v1/chat/completions": false,
	} {
		if IsRealtime(path) != want {
			t.Errorf("%q: %t, want %t", path, !want, want)
		}
	}
}
