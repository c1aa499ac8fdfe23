package llm

import (
	"net/http"
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
	// InPath is the rest of the path after /models/, less a verb, or what stands
	// between /deployments/ and an endpoint.
	InPath
)

// Found is the model that a request names. Its zero value stands for a request
// which names none.
//
// A request may name its model in several places, but it must be the same model:
// the gateway would otherwise authorise one and the server might run the other.
// Names that differ are ambiguous. Two dialects are excepted. On Azure's paths,
// `/deployments/<model>/`, the path decides: a `model` of the body may be
// anything, and EditBody sets it to what the path says. And before a verb in
// Google's way, `/models/<model>:<verb>`, the body may say `models/<model>`.
type Found struct {
	// Name is the model's name, decoded and unchecked; Split checks it.
	Name string
	// Where says where the name stands; 0 if there is none.
	Where Location
	// Chooser is the first other thing of the request by which a server could
	// choose another model, such as the field `fallbacks`; empty if there is
	// none. It is one of a few fixed words, whatever the client wrote, and can
	// be shown to it. Its presence counts, whatever its value.
	Chooser string

	path pathModel
	body Model
	// bodyPrefix is what stands before the model's name in the body.
	bodyPrefix string
	// insertion is where a `model` that the body lacks may be put.
	insertion insertion
}

// modelsPrefix stands before a model's name where Google's API calls it a
// resource.
const modelsPrefix = "models/"

// FindInURL finds the model in path and query. The method says whether a path in
// Google's way has a verb behind the model.
func FindInURL(method string, u *url.URL) (Found, error) {
	var f Found
	path, found, err := findPathModel(method, u)
	if err != nil {
		return Found{}, err
	}
	if found {
		f = Found{Name: path.name, Where: InPath, path: path}
	}
	if u.RawQuery == "" {
		return f, nil
	}
	name, found, chooser, err := findQueryModel(u.RawQuery)
	f.Chooser = chooser
	if err == nil && found {
		err = f.add(name, InQuery)
	}
	if err != nil {
		return Found{}, err
	}
	return f, nil
}

// AddBody looks for the model in a JSON body, too; see FindModel. Where the path
// decides, `model` may be null.
func (f *Found) AddBody(body []byte) error {
	o, err := scanObject(body, f.pathDecides())
	if err != nil {
		return err
	}
	if err := f.addBody(o.model, o.chooser, o.variant, InBody); err != nil {
		return err
	}
	f.insertion = insertion{at: o.first, separator: !o.empty}
	return nil
}

// AddForm looks for the model in a multipart form, too; see FindFormModel.
func (f *Found) AddForm(body []byte, contentType []string) error {
	fields, err := scanForm(body, contentType)
	if err != nil {
		return err
	}
	if err := f.addBody(fields.model, fields.chooser, fields.variant, InForm); err != nil {
		return err
	}
	f.insertion = insertion{delimiter: fields.delimiter}
	return nil
}

// addBody notes what was found in a body.
func (f *Found) addBody(model Model, chooser string, variant bool, where Location) error {
	if f.Chooser == "" {
		f.Chooser = chooser
	}
	if f.pathDecides() {
		if variant {
			return ambiguousModel("the body names the model in another spelling than model; leave it to the path")
		}
		if model.End > 0 {
			f.body = model
			f.Where |= where
		}
		return nil
	}
	if model.End == 0 {
		return nil
	}
	f.body = model
	name := model.Name
	if where == InBody && f.Where&InPath != 0 && f.path.verb && name != f.Name {
		var isResource bool
		if name, isResource = strings.CutPrefix(name, modelsPrefix); isResource {
			f.bodyPrefix = modelsPrefix
		}
	}
	return f.add(name, where)
}

// pathDecides says whether the request's path names the model so that all else
// has to follow.
func (f *Found) pathDecides() bool { return f.Where&InPath != 0 && f.path.deployment }

// AddHeader looks for a header by which servers choose a model: Azure's
// azureml-model-deployment.
func (f *Found) AddHeader(header http.Header) {
	if f.Chooser == "" && namesDeployment(header) {
		f.Chooser = deploymentHeader
	}
}

// add notes a further place, which must name the same model.
func (f *Found) add(name string, where Location) error {
	if f.Where != 0 && f.Name != name {
		return ambiguousModel("the request names different models in its path, its query and its body; name one")
	}
	f.Name = name
	f.Where |= where
	return nil
}

// Split splits the name at its first slash and checks it; see ParseName. It is
// for requests that name a model.
func (f *Found) Split() (prefix, rest string, prefixed bool, err error) {
	where := f.Where
	if f.pathDecides() {
		where = InPath
	}
	return ParseName(f.Name, where)
}
