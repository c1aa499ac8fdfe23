// Package llm knows how requests and errors of LLM APIs look on the wire: where
// a request names its model, how another name takes its place, and which error
// body the SDKs understand. It knows no OAuth2 and no web server beyond
// net/http's own notions, and everything it reads is a client's: it never
// recurses over it, never reads it twice, allocates no more than a few KiB that a
// header merely promises, and repeats none of it in a message.
//
// A gateway looks at a request in this order:
//
//	found, err := llm.FindInURL(r.Method, r.URL)           // path and query
//	if llm.ReadsBody(r.Method, r.URL.Path) {
//		err = llm.ContentTypeFault(r.Header["Content-Type"])
//		body, err := llm.ReadBody(r.Body, r.ContentLength, limit, grow)
//		body, err = llm.Decode(body, r.Header["Content-Encoding"], limit, grow)
//		if llm.IsForm(r.Header["Content-Type"]) {
//			err = found.AddForm(body, r.Header["Content-Type"])
//		} else if object, _ := llm.BeginsObject(body); object {
//			err = found.AddBody(body)
//		}
//	}
//	found.AddHeader(r.Header)
//	prefix, rest, prefixed, err := found.Split()
//	// May the client use this model, and found.Chooser or what is no
//	// llm.IsModelCall besides?
//	found.RenameURL(clone.URL, upstream)
//	edit, changes := found.EditBody(buffer[:0], body, upstream, insert)
//	llm.Aim(clone.URL, base)
//
// Each step has a file of its name: request.go, path.go and query.go, body.go, content_type.go,
// encoding.go, multipart.go, scan.go (the model in JSON), model.go, rewrite.go, aim.go. What
// could choose another model besides is in choosers.go and model_call.go.
//
// # One request, one model
//
// A gateway that reads another model than the server behind it authorises one
// model and pays for another. So a request is accepted only if every parser
// reads the same model from it: strict JSON in UTF-8, strict form data, one
// `model` and no second one that differs only in case, and the same name
// wherever a request names it twice. Where a path decides, what the body says is
// replaced, so that it says the same. What could choose another model besides is
// not refused, but reported, since it is refused only to those who may not use
// every model. A text that FindModel accepts can be no
// multipart form to anybody (a line that begins with two hyphens is no JSON), and
// a form that FindFormModel accepts begins with a hyphen, so the two readings
// never compete for one body.
package llm
