package llm

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A ModelInfo is a model as a gateway lists it.
type ModelInfo struct {
	// ID is what clients write into `model`.
	ID string
	// OwnedBy is the provider's name.
	OwnedBy string
	// Created is when the gateway began to offer it.
	Created time.Time
}

// AppendJSON appends the model in the one shape that OpenAI's and Anthropic's
// clients both read.
func (m ModelInfo) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendQuoted(dst, m.ID)
	dst = append(dst, `,"object":"model","type":"model","display_name":`...)
	dst = appendQuoted(dst, m.ID)
	dst = append(dst, `,"created":`...)
	dst = strconv.AppendInt(dst, m.Created.Unix(), 10)
	dst = append(dst, `,"created_at":`...)
	dst = appendQuoted(dst, m.Created.UTC().Format(time.RFC3339))
	dst = append(dst, `,"owned_by":`...)
	dst = appendQuoted(dst, m.OwnedBy)
	return append(dst, '}')
}

// AppendModelList appends a list of models, all of them on one page, in the one
// shape that OpenAI's and Anthropic's clients both read.
func AppendModelList(dst []byte, models []ModelInfo) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	for i, m := range models {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = m.AppendJSON(dst)
	}
	dst = append(dst, `],"has_more":false,"first_id":`...)
	first, last := "null", "null"
	if len(models) > 0 {
		first, last = string(appendQuoted(nil, models[0].ID)), string(appendQuoted(nil, models[len(models)-1].ID))
	}
	dst = append(dst, first...)
	dst = append(dst, `,"last_id":`...)
	dst = append(dst, last...)
	return append(dst, '}')
}

// modelLists are the paths of the list of models, as OpenAI's and Azure's clients
// have them.
var modelLists = [...]string{"/v1/models", "/models", "/openai/models", "/openai/v1/models"}

// IsModelList reports whether a request asks for the list of models: GET or HEAD
// of /v1/models, /models, or Azure's /openai/models and /openai/v1/models.
func IsModelList(method, path string) bool {
	if method != http.MethodGet && method != http.MethodHead {
		return false
	}
	path = strings.TrimSuffix(path, "/")
	return slices.Contains(modelLists[:], path)
}

// IsModelRetrieval reports whether a request asks for one model: GET or HEAD of
// a path below /v1/models, /openai/models or /openai/v1/models.
func IsModelRetrieval(method, path string) bool {
	if method != http.MethodGet && method != http.MethodHead {
		return false
	}
	for _, list := range modelLists {
		if list != "/models" && strings.HasPrefix(path, list+"/") {
			return true
		}
	}
	return false
}
