package caddytest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// tooMany answers 429, after the body or, if early, before it.
func tooMany(early bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !early {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		w.Header().Set("X-Of-The-First", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		// Without a length, which intercept would keep for what its routes answer.
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "too many requests")
	}
}

// wantWholeOrError fails the test unless the second LLM has got the whole request,
// or none and the client an error of the gateway's with a code.
func (c *chain) wantWholeOrError(t *testing.T, q chainRequest, a answer, before int, model, code string) {
	t.Helper()
	if code == "" {
		a.wantStatus(t, http.StatusOK)
		c.wantSecond(t, q, before, model)
		return
	}
	if a.status != 0 && (a.status < 400 || !strings.Contains(a.body, `"code":"`+code+`"`)) {
		t.Errorf("status %d, %s, want the code %s", a.status, a.body, code)
	}
	if n := c.second.count() - before; n != 0 {
		t.Errorf("%d requests arrived at the second LLM", n)
	}
}

// A route of handle_response sends what the first LLM had no room for to the second.
func TestARouteOfHandleResponseSendsTheWholeBodyToTheSecondLLM(t *testing.T) {
	for kind, pair := range chainKinds {
		if pair.first == "pass" {
			// The first needs an LLM of its own.
			continue
		}
		for binding, bound := range shortBindings() {
			for _, plain := range []bool{false, true} {
				for _, early := range []bool{false, true} {
					if plain && bound[0] {
						continue
					}
					c := chainSite{
						first: pair.first, second: pair.second, firstBound: bound[0], secondBound: bound[1], plain: plain, place: "place header X-First-Token",
						routes: "route {\n{first}{to first}@busy status 429\nhandle_response @busy {\n{second}{to second}}\n}\n}",
					}.start(t, tooMany(early))
					for name, q := range chainRequests() {
						if q.none {
							continue
						}
						t.Run(fmt.Sprintf("%s, %s, plain %v, early %v: %s", kind, binding, plain, early, name), func(t *testing.T) {
							before := c.second.count()
							a := q.send(t, c, pair.model)
							code := ""
							switch {
							case q.size > chainMaxBody && pair.first == "routed":
								code = "body_too_large"
							case q.size > chainMaxBody && early:
								// Whether a byte of it was sent is a matter of chance.
								if a.status == http.StatusOK {
									t.Errorf("a body over max_body was answered %s", a.body)
								}
								return
							case q.size > chainMaxBody, pair.first == "fixed" && plain && !early:
								code = "upstream_error"
							case pair.first == "fixed" && plain:
								if a.status == http.StatusOK {
									c.wantSecond(t, q, before, pair.both)
								}
								return
							}
							c.wantWholeOrError(t, q, a, before, pair.both, code)
						})
					}
				}
			}
		}
	}
}

// An error route gets the request as it came to the first directive.
func TestAnErrorRouteSendsTheWholeBodyToTheSecondLLM(t *testing.T) {
	for kind, pair := range chainKinds {
		if pair.first == "pass" || pair.alone == "" {
			continue
		}
		for binding, bound := range shortBindings() {
			for _, plain := range []bool{false, true} {
				if plain && bound[0] {
					continue
				}
				c := chainSite{
					first: pair.first, second: pair.second, firstBound: bound[0], secondBound: bound[1], plain: plain, place: "place query first_token", handles: true,
					routes: "route {\n{first}{to first}}\n}\nhandle_errors {\nroute {\n{second}{to second}}\n}",
				}.start(t, breaksOff)
				for name, q := range chainRequests() {
					if q.none {
						continue
					}
					t.Run(fmt.Sprintf("%s, %s, plain %v: %s", kind, binding, plain, name), func(t *testing.T) {
						before := c.second.count()
						a := q.send(t, c, pair.model)
						code := ""
						switch {
						case q.size > chainMaxBody && pair.first == "routed":
							// The first refuses it, and the second is fixed and streams it.
							if a.status == http.StatusOK {
								c.wantSecond(t, q, before, pair.alone)
							}
							return
						case q.size > chainMaxBody, pair.first == "fixed" && plain:
							code = "upstream_error"
						}
						c.wantWholeOrError(t, q, a, before, pair.alone, code)
					})
				}
			}
		}
	}
}

// forward_auth makes a copy of the request, whose body an error route does not see.
func TestAnErrorRouteBehindForwardAuthSendsTheWholeBodyToTheSecondLLM(t *testing.T) {
	allowing := newUpstream(t, nil)
	for binding, bound := range shortBindings() {
		c := chainSite{
			first: "routed", second: "fixed", firstBound: bound[0], secondBound: bound[1], handles: true,
			routes: "route {\nforward_auth " + allowing.address() + " {\nuri /allowed\n}\n{first}{to first}}\n}\nhandle_errors {\nroute {\n{second}{to second}}\n}",
		}.start(t, breaksOff)
		for name, q := range chainRequests() {
			if q.none || q.size > chainMaxBody {
				continue
			}
			t.Run(binding+": "+name, func(t *testing.T) {
				before := c.second.count()
				a := q.send(t, c, "first/m")
				c.wantWholeOrError(t, q, a, before, "first/m", "")
			})
		}
	}
}

// breaksOff is an LLM that closes the connection once it has the whole request.
func breaksOff(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if connection, _, err := w.(http.Hijacker).Hijack(); err == nil {
		connection.Close()
	}
}

// intercept runs its routes after the first directive's end, or within it. By then a
// large body is let go.
func TestARouteOfInterceptSendsTheWholeBodyOrSaysThatItWasLetGo(t *testing.T) {
	intercepting := "intercept {\n@busy status 429\nhandle_response @busy {\n{second}{to second}}\n}\n"
	for place, routes := range map[string]string{"behind the first": "route {\n{first}" + intercepting + "{to first}}\n}", "around the first": "route {\n" + intercepting + "{first}{to first}}\n}"} {
		for binding, bound := range shortBindings() {
			for _, plain := range []bool{false, true} {
				if plain && bound[0] {
					continue
				}
				c := chainSite{
					first: "routed", second: "fixed", firstBound: bound[0], secondBound: bound[1], plain: plain, place: "place header X-First-Token", routes: routes,
				}.start(t, tooMany(false))
				model := map[string]string{"behind the first": "m", "around the first": "first/m"}[place]
				for name, q := range chainRequests() {
					if q.none || q.size > chainMaxBody {
						continue
					}
					t.Run(fmt.Sprintf("%s, %s, plain %v: %s", place, binding, plain, name), func(t *testing.T) {
						before := c.second.count()
						a := q.send(t, c, "first/m")
						code := ""
						if !plain && q.size >= 100_000 {
							code = "upstream_error"
							if a.status != 0 && !strings.Contains(a.body, "let go when the LLM answered") {
								t.Errorf("the client is told %s", a.body)
							}
						}
						c.wantWholeOrError(t, q, a, before, model, code)
					})
				}
			}
		}
	}
}
