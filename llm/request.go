package llm

import (
	"net/url"
	"strings"
)

// A Location is a set of places in which a request names its model.
type Location uint8

// The places in which a model may be named.
const (
	// InBody is the top-level member `model` of a JSON body.
	InBody Location = 1 << iota
	// InForm is the field `model` of a multipart form.
	InForm
	// InQuery is the query parameter `model`, as realtime sessions have it.
	InQuery
	// InPath is the rest of the path after /v1/models/, or the segment after
	// /openai/deployments/.
	InPath
)

// Found is the model that a request names. Its zero value is that of a request
// which names none.
//
// A request may name its model in several places (Azure's SDKs do, in path and
// body), but it must be the same model: the gateway would otherwise authorise
// one and the server might run the other. Names that differ are ambiguous.
type Found struct {
	// Name is the model's name, decoded and unchecked; Split checks it.
	Name string
	// Where says where the name stands; 0 if there is none.
	Where Location

	body       Model
	deployment string
}

// FindInURL finds the model in path and query.
func FindInURL(u *url.URL) (Found, error) {
	var f Found
	if name, deployment, found := findPathModel(u); found {
		f = Found{Name: name, Where: InPath, deployment: deployment}
	}
	if u.RawQuery == "" {
		return f, nil
	}
	name, found, err := findQueryModel(u.RawQuery)
	if err == nil && found {
		err = f.add(name, InQuery)
	}
	if err != nil {
		return Found{}, err
	}
	return f, nil
}

// AddBody looks for the model in a JSON body, too; see FindModel.
func (f *Found) AddBody(body []byte) error {
	model, found, err := FindModel(body)
	return f.addModel(model, found, err, InBody)
}

// AddForm looks for the model in a multipart form, too; see FindFormModel.
func (f *Found) AddForm(body []byte, contentType []string) error {
	model, found, err := FindFormModel(body, contentType)
	return f.addModel(model, found, err, InForm)
}

func (f *Found) addModel(model Model, found bool, err error, where Location) error {
	if err != nil || !found {
		return err
	}
	f.body = model
	return f.add(model.Name, where)
}

// add notes a further place, which must name the same model.
func (f *Found) add(name string, where Location) error {
	if f.Where != 0 && f.Name != name {
		if f.Where != InPath || !isDeployment(f.deployment, name) {
			return ambiguousModel("the request names different models in its path, its query and its body; name one")
		}
	}
	f.Name = name
	f.Where |= where
	return nil
}

// isDeployment says whether an escaped path in Azure's way names this model with
// plain slashes, so that only another place tells where the name ends: the SDKs
// put the model into the path without escaping it. A segment with an escaped
// slash would name another deployment to the server.
func isDeployment(deployment, name string) bool {
	segments := strings.Count(name, "/") + 1
	parts := strings.SplitN(deployment, "/", segments+1)
	if deployment == "" || len(parts) < segments {
		return false
	}
	plain, _ := url.PathUnescape(strings.Join(parts[:segments], "/"))
	return plain == name
}

// Split splits the name at its first slash and checks it; see ParseName. It is
// for requests that name a model.
func (f *Found) Split() (prefix, rest string, prefixed bool, err error) {
	return ParseName(f.Name, f.Where)
}

// Replace puts another name in the model's place, wherever the request names
// it: in the URL, which is changed, and in the body, which is returned and may
// have been changed in place; see ReplaceModel. URL and body must be those that
// were looked at, or copies of them, and name one that ParseName accepts.
func (f *Found) Replace(name string, u *url.URL, body []byte) []byte {
	if f.Where&InPath != 0 {
		replacePathModel(u, f.Name, name)
	}
	if f.Where&InQuery != 0 {
		u.RawQuery = replaceQueryModel(u.RawQuery, f.Name, name)
	}
	if f.Where&InBody != 0 {
		body = ReplaceModel(body, f.body, name)
	}
	if f.Where&InForm != 0 {
		body = ReplaceFormModel(body, f.body, name)
	}
	return body
}
