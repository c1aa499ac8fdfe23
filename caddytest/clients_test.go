package caddytest

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The folder of recordings, and how many there must be at least: a test that
// finds none has tested nothing.
const (
	recordingsFolder = "testdata/clients"
	fewestRecordings = 50
)

// dummies are the credentials in the recordings.
var dummies = []string{"sk-test", "sk-ant-test", "bearer-x", "dyn-key"}

// A recording is a request as a real client put it on the wire.
type recording struct {
	name string
	raw  []byte
	*http.Request
	body []byte
}

func readRecordings(t *testing.T) []recording {
	t.Helper()
	var all []recording
	err := filepath.WalkDir(recordingsFolder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		name, err := filepath.Rel(recordingsFolder, path)
		all = append(all, recording{filepath.ToSlash(name), raw, request, body})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < fewestRecordings {
		t.Fatalf("%d recordings in %s, want at least %d", len(all), recordingsFolder, fewestRecordings)
	}
	return all
}

// realtime starts an LLM that accepts WebSockets too, and gives its address.
func realtime(t *testing.T, llm *llmStandIn) string {
	t.Helper()
	server := httptest.NewServer(withWebSockets(llm))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// withWebSockets answers like the LLM, but accepts WebSockets, on which it sends
// back every byte.
func withWebSockets(llm *llmStandIn) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
			llm.ServeHTTP(w, r)
			return
		}
		llm.mu.Lock()
		llm.last = received{method: r.Method, uri: r.RequestURI, proto: r.Proto, host: r.Host, header: r.Header.Clone(), contentLength: r.ContentLength}
		llm.mu.Unlock()
		connection, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer connection.Close()
		fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			webSocketAccept(r.Header.Get("Sec-WebSocket-Key")))
		_, _ = io.Copy(connection, buffered)
	}
}

// webSocketAccept is what RFC 6455 §4.2.2 makes of a key.
func webSocketAccept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// replay sends a recording and returns what the LLM got.
func replay(t *testing.T, g *gateway, llm *llmStandIn, r recording) received {
	t.Helper()
	response, reader, connection := g.exchange(t, r.Method, r.raw)
	if r.Header.Get("Upgrade") == "" {
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("status %d, want 200; body %s; error %v", response.StatusCode, body, err)
		}
		return llm.lastRequest()
	}
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-Websocket-Accept") != webSocketAccept(r.Header.Get("Sec-Websocket-Key")) {
		t.Fatalf("status %d with %v, want a WebSocket", response.StatusCode, response.Header)
	}
	const message = "\x82\x05hello"
	if _, err := io.WriteString(connection, message); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, len(message))
	if _, err := io.ReadFull(reader, echo); err != nil || string(echo) != message {
		t.Errorf("%q came back for %q: %v", echo, message, err)
	}
	return llm.lastRequest()
}

func startForRecordings(t *testing.T, options string) (*gateway, *llmStandIn) {
	t.Helper()
	auth := newCorpAuth(t)
	llm := newLLM(t, auth, "corp-client")
	keys := ""
	for _, dummy := range dummies {
		keys += fmt.Sprintf("client_key %s %s\n", dummy, dummy)
	}
	return corpSite{auth: auth, upstream: realtime(t, llm), directive: keys + "default_provider corp\n" + options}.start(t), llm
}

// isModelList reports whether a recording asks for the list of models.
func isModelList(r recording) bool {
	return r.Method == http.MethodGet && r.RequestURI == "/v1/models"
}

// wantModelList replays a request for the list of models, which the gateway
// answers by itself.
func wantModelList(t *testing.T, g *gateway, r recording) {
	t.Helper()
	response, _, _ := g.exchange(t, r.Method, r.raw)
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !bytes.HasPrefix(body, []byte(`{"object":"list","data":[`)) {
		t.Errorf("status %d, %v: %s", response.StatusCode, err, body)
	}
}

func TestRecordedRequestsOfRealClientsArriveWithATokenAndWithoutThePrefix(t *testing.T) {
	g, llm := startForRecordings(t, "")
	changed := map[string]int{}
	for _, r := range readRecordings(t) {
		t.Run(r.name, func(t *testing.T) {
			if isModelList(r) {
				wantModelList(t, g, r)
				return
			}
			got := replay(t, g, llm, r)
			wantOnlyOurCredential(t, llm.auth, got)
			wantOtherHeaders(t, r, got)
			uri := strings.Replace(r.RequestURI, "corp%2F", "", 1)
			if got.method != r.Method || got.uri != uri {
				t.Errorf("%s %s arrived, want %s %s", got.method, got.uri, r.Method, uri)
			}
			if uri != r.RequestURI {
				changed["url"]++
			}
			mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
			switch {
			case mediaType == "multipart/form-data":
				wantOnlyTheFieldChanged(t, r, got)
				changed["form"]++
			case bytes.Contains(r.body, []byte(`"model":"corp/`)):
				wantOnlyTheMemberChanged(t, r.body, got.body)
				changed["json"]++
			case !bytes.Equal(got.body, r.body):
				t.Errorf("a body without a prefix arrived as %q", got.body)
			}
		})
	}
	llm.wantNoRefusals(t)
	if n := llm.auth.tokenRequests.Load(); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
	if changed["url"] < 4 || changed["form"] < 7 || changed["json"] < 34 {
		t.Errorf("only %v recordings name a model in these places", changed)
	}
}

func TestWithKeepPrefixBodiesOfRealClientsArriveByteForByte(t *testing.T) {
	g, llm := startForRecordings(t, "keep_prefix")
	for _, r := range readRecordings(t) {
		t.Run(r.name, func(t *testing.T) {
			if isModelList(r) {
				wantModelList(t, g, r)
				return
			}
			got := replay(t, g, llm, r)
			wantOnlyOurCredential(t, llm.auth, got)
			if got.uri != r.RequestURI || !bytes.Equal(got.body, r.body) {
				t.Errorf("%s with %q arrived, want %s with %q", got.uri, got.body, r.RequestURI, r.body)
			}
		})
	}
	llm.wantNoRefusals(t)
}

// wantOnlyOurCredential fails the test unless a request carries exactly one
// valid token and nothing of the client's.
func wantOnlyOurCredential(t *testing.T, auth *authServer, got received) {
	t.Helper()
	values := got.header["Authorization"]
	if len(values) != 1 {
		t.Fatalf("%d Authorization headers arrived, want 1", len(values))
	}
	if _, problem := auth.check(strings.TrimPrefix(values[0], "Bearer ")); problem != "" {
		t.Errorf("the token is %s", problem)
	}
	for _, dummy := range dummies {
		if strings.Contains(got.uri, dummy) {
			t.Errorf("the client's credential is in %s", got.uri)
		}
		for name, values := range got.header {
			if name != "Authorization" && strings.Contains(name+strings.Join(values, "\n"), dummy) {
				t.Errorf("the client's credential is in %s: %v", name, values)
			}
		}
	}
}

// wantOtherHeaders fails the test if a header is missing or changed that is
// neither a credential nor about the connection or the body's framing.
func wantOtherHeaders(t *testing.T, r recording, got received) {
	t.Helper()
	own := []string{"Authorization", "X-Api-Key", "Connection", "Content-Length"}
	for name, values := range r.Header {
		if !slices.Contains(own, name) && !slices.Equal(got.header[name], values) {
			t.Errorf("%s arrived as %q, want %q", name, got.header[name], values)
		}
	}
}

// wantOnlyTheMemberChanged compares JSON bodies: they may differ in the string
// of the first model and in white space in front of it.
func wantOnlyTheMemberChanged(t *testing.T, before, after []byte) {
	t.Helper()
	start, rest, _ := strings.Cut(string(before), `"corp/`)
	arrived, found := strings.CutPrefix(string(after), start)
	if !found || len(after) != len(before) || strings.TrimLeft(arrived, " ") != `"`+rest {
		t.Errorf("%s arrived as %s", before, after)
	}
	var want, have map[string]any
	if err := json.Unmarshal(before, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(after, &have); err != nil {
		t.Fatalf("no JSON arrived: %v", err)
	}
	want["model"] = strings.TrimPrefix(want["model"].(string), "corp/")
	if !reflect.DeepEqual(have, want) {
		t.Errorf("%v arrived, want %v", have, want)
	}
}

// wantOnlyTheFieldChanged compares forms, byte for byte but for the model.
func wantOnlyTheFieldChanged(t *testing.T, r recording, got received) {
	t.Helper()
	if want := strings.Replace(string(r.body), "\r\n\r\ncorp/", "\r\n\r\n", 1); string(got.body) != want {
		t.Errorf("%q arrived, want %q", got.body, want)
	}
	if got.contentLength != int64(len(got.body)) && got.contentLength != -1 {
		t.Errorf("Content-Length is %d for %d bytes", got.contentLength, len(got.body))
	}
	before, after := parseForm(t, r.Header, r.body), parseForm(t, got.header, got.body)
	if model, ok := before["model"]; ok {
		before["model"] = strings.TrimPrefix(model, "corp/")
	}
	if len(before) < 2 || !reflect.DeepEqual(before, after) {
		t.Errorf("the form is %q, want %q", after, before)
	}
}

// parseForm returns the contents of a form's parts by field and file name.
func parseForm(t *testing.T, header http.Header, body []byte) map[string]string {
	t.Helper()
	_, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	reader := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		parts[part.FormName()+part.FileName()] = string(content)
	}
}
