package llm

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// recordedRequest is one request of testdata/verdicts.json.
type recordedRequest struct {
	Name        string
	ContentType []string
	faultBody
	// Read is what each parser reads as the model, as often as it does.
	Read map[string][]string
}

// parsersOfVerdicts are those that have to have read every request.
var parsersOfVerdicts = []string{
	"JSON.parse", "body-parser json", "body-parser urlencoded", "busboy", "formidable", "undici",
	"json", "json in the charset", "cgi", "email", "email http", "parse_qs", "werkzeug", "starlette",
}

func recordedRequests(t *testing.T) []recordedRequest {
	t.Helper()
	raw, err := os.ReadFile("testdata/verdicts.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct{ Requests []recordedRequest }
	if err := json.Unmarshal(raw, &recorded); err != nil {
		t.Fatal(err)
	}
	return recorded.Requests
}

// readAsGateway is what a gateway reads as the model, and whether it accepts the
// request.
func readAsGateway(body []byte, contentType []string) (name string, found, accepted bool) {
	if ContentTypeFault(contentType) != nil {
		return "", false, false
	}
	var f Found
	var err error
	if IsForm(contentType) {
		err = f.AddForm(body, contentType)
	} else if object, _ := BeginsObject(body); object {
		err = f.AddBody(body)
	}
	if err == nil && f.Where != 0 {
		_, _, _, err = f.Split()
	}
	return f.Name, f.Where != 0, err == nil
}

// What a gateway accepts, every other parser reads in the same way, or not at all.
func TestOtherParsersReadTheSameModel(t *testing.T) {
	requests := recordedRequests(t)
	acceptedModels, refusedModels := 0, 0
	for _, r := range requests {
		t.Run(r.Name, func(t *testing.T) {
			name, found, accepted := readAsGateway(r.bytes(t), r.ContentType)
			for _, parser := range parsersOfVerdicts {
				models, isRecorded := r.Read[parser]
				switch {
				case !isRecorded:
					t.Errorf("%s has not read it", parser)
				case !accepted && len(models) > 0:
					refusedModels++
				case accepted && len(models) > 0 && (!found || len(models) > 1 || models[0] != name):
					t.Errorf("the model is %q (%v), and %s reads %q", name, found, parser, models)
				case accepted && len(models) > 0:
					acceptedModels++
				}
			}
			if len(r.Read) != len(parsersOfVerdicts) {
				t.Errorf("%d parsers have read it", len(r.Read))
			}
		})
	}
	// A recording in which nothing was read would agree with everything.
	if len(requests) < 200 || acceptedModels < 200 || refusedModels < 300 {
		t.Errorf("%d requests; models were read %d times from those that are accepted, %d times from others", len(requests), acceptedModels, refusedModels)
	}
}

func TestEveryParserHasReadAModel(t *testing.T) {
	requests := recordedRequests(t)
	for _, parser := range parsersOfVerdicts {
		if !slices.ContainsFunc(requests, func(r recordedRequest) bool { return len(r.Read[parser]) > 0 }) {
			t.Errorf("%s reads nothing", parser)
		}
	}
}
