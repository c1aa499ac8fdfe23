package oauth2llm

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/llm"
)

// A choice is where a request goes and what changes on it.
type choice struct {
	// provider is nil for a request that is passed on untouched.
	provider *provider
	// model is the model's name as it goes upstream, empty without one.
	model string
	// answer, if not nil, is JSON that answers the request.
	answer []byte
	// content is the request's body, if it is held in memory.
	content []byte
	held    bool
	// encoded, if not nil, is what content was decoded from.
	encoded []byte
	// changed says that bytes of content were changed.
	changed bool
	// locked says that the body is for the transport alone.
	locked bool
	// rest, if not nil, takes the place of a body of which the beginning was read.
	rest io.ReadCloser
	// url, if not nil, takes the place of the request's.
	url *url.URL
}

// apply changes a copy of the request.
func (c *choice) apply(copied *http.Request) {
	if c.url != nil {
		copied.URL = c.url
		copied.RequestURI = c.url.RequestURI()
	}
	if c.rest != nil {
		copied.Body = c.rest
	}
	if !c.held {
		return
	}
	if !c.locked {
		copied.Body = newMemoryBody(c.content)
	}
	if length := int64(len(c.content)); length != copied.ContentLength {
		copied.ContentLength = length
		copied.TransferEncoding = nil
		copied.Header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	if c.encoded != nil {
		delete(copied.Header, "Content-Encoding")
	}
	if c.changed || c.encoded != nil {
		for _, name := range digestFields {
			delete(copied.Header, name)
		}
	}
}

// digestFields describe a body's bytes (RFC 9530, and what came before it).
var digestFields = []string{"Content-Digest", "Repr-Digest", "Digest", "Content-Md5"}

// choose finds the provider of a request: the fixed one, or the one that the
// request's model names. Nothing else in a request chooses one (case H11). A
// choice that has an answer goes nowhere.
func (h *Handler) choose(r *http.Request, l *lease) (choice, error) {
	if h.Provider != "" {
		c := choice{provider: h.providers[h.Provider]}
		ref := modelRef{provider: c.provider}
		if _, err := l.grant(r, ref, llm.Found{}); err != nil {
			return choice{}, err
		}
		return c, l.aim(r, ref, "")
	}
	if llm.IsModelList(r.Method, r.URL.Path) {
		return choice{answer: h.catalog.list(l.client)}, nil
	}
	c, found, body, err := h.findModel(r, &l.visit)
	if err != nil {
		return choice{}, requestProblem(err)
	}
	var ref modelRef
	var prefix string
	var prefixed bool
	if found.Where == 0 {
		ref, err = h.withoutModel(r)
	} else {
		var rest string
		if prefix, rest, prefixed, err = found.Split(); err != nil {
			return choice{}, requestProblem(err)
		}
		ref, err = h.resolve(l.client, found.Name, prefix, rest, prefixed)
	}
	if err != nil {
		return choice{}, err
	}
	c.provider, c.model = ref.provider, found.Name
	upstream, err := l.grant(r, ref, found)
	if err != nil || c.provider == nil {
		return c, err
	}
	if found.Where != 0 && llm.IsModelRetrieval(r.Method, r.URL.Path) {
		if c.answer = h.catalog.retrieve(found.Name, ref); c.answer != nil {
			return c, nil
		}
	}
	if err := l.aim(r, ref, upstream); err != nil || found.Where == 0 {
		return c, err
	}
	if _, alias := h.catalog.aliases[found.Name]; h.KeepPrefix && (alias || prefixed && prefix == c.provider.name) {
		upstream = c.provider.name + "/" + upstream
	}
	c.rename(r, &found, body, upstream)
	return c, nil
}

// rename puts the name by which the upstream knows the model in its place.
func (c *choice) rename(r *http.Request, found *llm.Found, body []byte, name string) {
	if c.model == name {
		return
	}
	c.model = name
	if found.Where&(llm.InQuery|llm.InPath) != 0 {
		address := *r.URL
		c.url = &address
	}
	if replaced := found.Replace(name, c.url, body); found.Where&(llm.InBody|llm.InForm) != 0 {
		c.setBody(replaced)
		c.changed = true
	}
}

// findModel looks for the model in the request's URL and, where one can be,
// in its body. A body that was read is part of the returned choice; body holds
// its bytes if the model may be in there.
func (h *Handler) findModel(r *http.Request, v *visit) (c choice, found llm.Found, body []byte, err error) {
	found, err = llm.FindInURL(r.URL)
	if err != nil || r.Body == nil || r.Body == http.NoBody || !llm.ReadsBody(r.Method, r.URL.Path) {
		return c, found, nil, err
	}
	contentType := r.Header["Content-Type"]
	encoding := strings.Join(r.Header["Content-Encoding"], ",")
	form := llm.IsForm(contentType)
	if form || encoding != "" {
		body, err = llm.ReadBody(r.Body, r.ContentLength, h.MaxBody)
	} else {
		// Only what begins as a JSON object is held; all else streams.
		var object bool
		body, object, err = llm.ReadObject(r.Body, r.ContentLength, h.MaxBody)
		if err == nil && !object {
			c.rest = &resumedBody{Reader: io.MultiReader(bytes.NewReader(body), r.Body), Closer: r.Body}
			r.Body = c.rest
			return c, found, nil, nil
		}
	}
	if err != nil {
		return c, found, nil, err
	}
	v.bodyRead = true
	if h.Errors == errorsHandle {
		// Error routes may send the request elsewhere, as it came (case U06).
		// The bytes that are forwarded change in place.
		r.Body = newMemoryBody(bytes.Clone(body))
	}
	if encoding != "" {
		c.encoded = body
		if body, err = llm.Decode(body, encoding, h.MaxBody); err != nil {
			return c, found, nil, err
		}
	}
	c.setBody(body)
	if form {
		return c, found, body, found.AddForm(body, contentType)
	}
	if object, _ := llm.BeginsObject(body); object {
		return c, found, body, found.AddBody(body)
	}
	return c, found, body, nil
}

// restore takes back what was done to read the body: the request is passed on
// as it came.
func (c *choice) restore() {
	if c.encoded != nil {
		c.setBody(c.encoded)
		c.encoded = nil
	}
}

// setBody makes bytes that are in memory the body.
func (c *choice) setBody(content []byte) { c.content, c.held = content, true }
