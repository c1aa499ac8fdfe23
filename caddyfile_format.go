package oauth2llm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// A caddyfileWriter writes a provider as a provider block.
type caddyfileWriter struct {
	strings.Builder
	depth int
}

// formatProvider writes a provider as a provider block, from which
// unmarshalProvider reads the same. Claims that are no strings, and transports with
// more than a client certificate, can be written in native JSON only.
func formatProvider(name string, p *config.Provider) string {
	w := new(caddyfileWriter)
	w.block([]string{"provider", name}, func(w *caddyfileWriter) { w.provider(p) })
	return w.String()
}

func (w *caddyfileWriter) provider(p *config.Provider) {
	w.word("preset", p.Preset)
	for _, name := range slices.Sorted(maps.Keys(p.Vars)) {
		w.line("var", name, string(p.Vars[name]))
	}
	w.word("client_id", string(p.ClientID))
	w.word("client_id_file", string(p.ClientIDFile))
	w.word("client_secret", string(p.ClientSecret))
	w.word("client_secret_file", string(p.ClientSecretFile))
	w.word("token_url", string(p.TokenURL))
	w.words("scope", strings.Fields(string(p.Scope)))
	w.word("refresh_token", string(p.RefreshToken))
	w.word("refresh_token_file", string(p.RefreshTokenFile))
	w.word("auth_method", string(p.AuthMethod))
	w.word("grant_type", string(p.GrantType))
	w.words("source", strings.SplitN(string(p.Source), " ", 2))
	w.block([]string{"token_request"}, func(w *caddyfileWriter) { w.tokenRequest(&p.TokenRequest) })
	w.block([]string{"token_response"}, func(w *caddyfileWriter) { w.tokenResponse(&p.TokenResponse) })
	w.block([]string{"jwt"}, func(w *caddyfileWriter) { w.jwt(&p.JWT) })
	w.duration("refresh_before", time.Duration(p.RefreshBefore))
	w.word("base_url", string(p.BaseURL))
	for _, name := range slices.Sorted(maps.Keys(p.Models)) {
		w.model(name, p.Models[name])
	}
	w.words("paths", p.Paths)
	w.transport(p.Transport)
	switch place := p.Place; {
	case place.Query != "":
		w.line("place", "query", place.Query)
	case place.Prefix != nil:
		w.line("place", "header", cmp.Or(place.Header, "Authorization"), *place.Prefix)
	default:
		w.words("place header", strings.Fields(place.Header))
	}
	w.headers("header_up", p.HeaderUp.Set)
	w.headers("header_up +", p.HeaderUp.Add)
	w.headers("header_up ?", p.HeaderUp.Default)
	for _, name := range p.HeaderUp.Delete {
		w.line("header_up", "-"+name)
	}
}

func (w *caddyfileWriter) tokenRequest(r *config.TokenRequest) {
	w.word("method", string(r.Method))
	w.word("encoding", string(r.Encoding))
	w.headers("header", r.Headers)
	for _, name := range slices.Sorted(maps.Keys(r.Params)) {
		w.line("param", name, string(r.Params[name]))
	}
	if len(r.Body) > 0 {
		w.raw("body `" + string(r.Body) + "`")
	}
	w.duration("timeout", time.Duration(r.Timeout))
	if r.Retries != nil {
		w.line("retries", strconv.Itoa(*r.Retries))
	}
	statuses := make([]string, len(r.RetryOn))
	for i, status := range r.RetryOn {
		statuses[i] = strconv.Itoa(status)
	}
	w.words("retry_on", statuses)
	w.transport(r.Transport)
}

func (w *caddyfileWriter) tokenResponse(r *config.TokenResponse) {
	w.words("token", r.Token)
	for _, rule := range r.Expiry {
		w.line("expiry", rule.Path, rule.Unit)
	}
	w.duration("default_ttl", time.Duration(r.DefaultTTL))
	w.duration("max_ttl", time.Duration(r.MaxTTL))
}

func (w *caddyfileWriter) jwt(j *config.JWT) {
	w.word("alg", string(j.Alg))
	w.word("key_file", string(j.KeyFile))
	w.word("key", string(j.Key))
	w.word("key_id", string(j.KeyID))
	w.word("certificate_file", string(j.CertificateFile))
	w.word("thumbprint", string(j.Thumbprint))
	if j.X5C {
		w.line("x5c")
	}
	for _, name := range slices.Sorted(maps.Keys(j.Claims)) {
		if values := claimValues(j.Claims[name]); len(values) > 0 {
			w.line(append([]string{"claim", name}, values...)...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(j.Header)) {
		w.line("header", name, string(j.Header[name]))
	}
	w.duration("ttl", time.Duration(j.TTL))
	w.word("exp_unit", string(j.ExpUnit))
	if j.IatSkew != nil {
		w.line("iat_skew", shortDuration(time.Duration(*j.IatSkew)))
	}
}

// claimValues are the arguments that stand for a claim: a string or a list of
// strings.
func claimValues(claim config.JSONTemplate) []string {
	var list []string
	if json.Unmarshal(claim, &list) == nil {
		return list
	}
	var one string
	if json.Unmarshal(claim, &one) != nil {
		return nil
	}
	return []string{one}
}

func (w *caddyfileWriter) model(name string, model config.Model) {
	head := []string{"model", name}
	if model.Upstream != "" {
		head = append(head, model.Upstream)
	}
	if model.BaseURL == "" {
		w.line(head...)
		return
	}
	w.block(head, func(w *caddyfileWriter) { w.word("base_url", string(model.BaseURL)) })
}

// transport writes a transport module, of which the client certificate alone can
// be written.
func (w *caddyfileWriter) transport(module json.RawMessage) {
	if module == nil {
		return
	}
	var transport struct {
		Protocol string `json:"protocol"`
		TLS      struct {
			Certificate string `json:"client_certificate_file"`
			Key         string `json:"client_certificate_key_file"`
		} `json:"tls"`
	}
	_ = json.Unmarshal(module, &transport)
	w.block([]string{"transport", transport.Protocol}, func(w *caddyfileWriter) {
		w.line("tls_client_auth", transport.TLS.Certificate, transport.TLS.Key)
	})
}

// headers writes one line for each value of each header. What comes before the
// name may end in a sign that belongs to it.
func (w *caddyfileWriter) headers(option string, headers map[string][]config.Template) {
	option, sign, _ := strings.Cut(option, " ")
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		for _, value := range headers[name] {
			w.line(option, sign+name, string(value))
		}
	}
}

// word writes an option with one argument, words one with several, duration one
// with a time span; each nothing if there is none.
func (w *caddyfileWriter) word(option, argument string) {
	if argument != "" {
		w.line(option, argument)
	}
}

func (w *caddyfileWriter) words(option string, arguments []string) {
	if len(arguments) > 0 && arguments[0] != "" {
		w.line(append(strings.Fields(option), arguments...)...)
	}
}

func (w *caddyfileWriter) duration(option string, d time.Duration) {
	if d != 0 {
		w.line(option, shortDuration(d))
	}
}

// shortDuration writes "1h0m0s" as "1h".
func shortDuration(d time.Duration) string {
	text := d.String()
	if short, cut := strings.CutSuffix(text, "m0s"); cut {
		text = short + "m"
	}
	if short, cut := strings.CutSuffix(text, "h0m"); cut {
		text = short + "h"
	}
	return text
}

// block writes a block, or nothing if its content is empty.
func (w *caddyfileWriter) block(head []string, content func(*caddyfileWriter)) {
	inner := &caddyfileWriter{depth: w.depth + 1}
	content(inner)
	if inner.Len() == 0 {
		return
	}
	w.raw(strings.Join(quoteAll(head), " ") + " {")
	_, _ = w.WriteString(inner.String())
	w.raw("}")
}

func (w *caddyfileWriter) line(words ...string) { w.raw(strings.Join(quoteAll(words), " ")) }

func (w *caddyfileWriter) raw(text string) {
	fmt.Fprintf(w, "%s%s\n", strings.Repeat("\t", w.depth), text)
}

// quoteAll makes arguments of a Caddyfile of texts.
func quoteAll(texts []string) []string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		if text == "" || text == "{" || text == "}" || text[0] == '#' || strings.ContainsAny(text, " \t\n\"`") {
			text = `"` + strings.ReplaceAll(text, `"`, `\"`) + `"`
		}
		quoted[i] = text
	}
	return quoted
}
