package providerblock

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// A writer writes a provider as a provider block.
type writer struct {
	strings.Builder
	depth int
}

// Format writes a provider as a provider block, from which Parse reads the same. Claims
// that are not strings, and transports with more than a client certificate, can be
// written in native JSON only.
func Format(name string, p *config.Provider) string {
	w := new(writer)
	w.block([]string{"provider", name}, func(w *writer) {
		// What decides about the rest comes first.
		w.word("preset", p.Preset)
		w.field("var", reflect.ValueOf(p.Vars))
		rest := *p
		rest.Preset, rest.Vars = "", nil
		w.fields(reflect.ValueOf(rest))
	})
	return w.String()
}

// fields writes what is set in a struct, in the order of its fields.
func (w *writer) fields(v reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if name := jsonName(field); name != "" && !v.Field(i).IsZero() {
			w.field(optionFor(name, field.Type), v.Field(i))
		}
	}
}

// field writes a field by its type, as Parse reads it.
func (w *writer) field(option string, v reflect.Value) {
	switch value := v.Interface().(type) {
	case config.Template:
		if option == "scope" {
			w.words(option, strings.Fields(string(value)))
			return
		}
		w.word(option, string(value))
	case config.Path:
		w.word(option, string(value))
	case string:
		w.word(option, value)
	case bool:
		w.line(option)
	case *int:
		w.line(option, strconv.Itoa(*value))
	case config.Duration:
		w.duration(option, time.Duration(value))
	case config.RefreshBefore:
		w.duration(option, time.Duration(value))
	case *config.Skew:
		w.line(option, shortDuration(time.Duration(*value)))
	case []string:
		w.words(option, value)
	case []int:
		w.words(option, strings.Fields(strings.Trim(fmt.Sprint(value), "[]")))
	case map[string]config.Template:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			w.line(option, name, string(value[name]))
		}
	case map[string][]config.Template:
		w.headers(option, value)
	case map[string]config.JSONTemplate:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			if values := claimValues(value[name]); len(values) > 0 {
				w.line(append([]string{option, name}, values...)...)
			}
		}
	case map[string]config.Model:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			w.model(name, value[name])
		}
	case []config.ExpiryRule:
		for _, rule := range value {
			w.line(option, rule.Path, rule.Unit)
		}
	case json.RawMessage:
		w.transport(value)
	case config.JSONTemplate:
		w.raw(option + " `" + string(value) + "`")
	case config.Source:
		w.words(option, strings.SplitN(string(value), " ", 2))
	case config.Place:
		w.place(value)
	case config.HeaderUp:
		w.headerUp(value)
	default:
		w.block([]string{option}, func(w *writer) { w.fields(v) })
	}
}

func (w *writer) place(place config.Place) {
	switch {
	case place.Query != "":
		w.line("place", "query", place.Query)
	case place.Prefix != nil:
		w.line("place", "header", cmp.Or(place.Header, "Authorization"), *place.Prefix)
	default:
		w.line("place", "header", place.Header)
	}
}

func (w *writer) headerUp(up config.HeaderUp) {
	w.headers("header_up", up.Set)
	w.headers("header_up +", up.Add)
	w.headers("header_up ?", up.Default)
	for _, name := range up.Delete {
		w.line("header_up", "-"+name)
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

func (w *writer) model(name string, model config.Model) {
	head := []string{"model", name}
	if model.Upstream != "" {
		head = append(head, model.Upstream)
	}
	if model.BaseURL == "" {
		w.line(head...)
		return
	}
	w.block(head, func(w *writer) { w.word("base_url", string(model.BaseURL)) })
}

// transport writes a transport module, of which the client certificate alone can
// be written.
func (w *writer) transport(module json.RawMessage) {
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
	w.block([]string{"transport", transport.Protocol}, func(w *writer) {
		w.line("tls_client_auth", transport.TLS.Certificate, transport.TLS.Key)
	})
}

// headers writes one line for each value of each header. What comes before the
// name may end in a sign that belongs to it.
func (w *writer) headers(option string, headers map[string][]config.Template) {
	option, sign, _ := strings.Cut(option, " ")
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		for _, value := range headers[name] {
			w.line(option, sign+name, string(value))
		}
	}
}

// word writes an option with one argument, words one with several, duration one
// with a time span; each nothing if there is none.
func (w *writer) word(option, argument string) {
	if argument != "" {
		w.line(option, argument)
	}
}

func (w *writer) words(option string, arguments []string) {
	if len(arguments) > 0 && arguments[0] != "" {
		w.line(append(strings.Fields(option), arguments...)...)
	}
}

func (w *writer) duration(option string, d time.Duration) {
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
func (w *writer) block(head []string, content func(*writer)) {
	inner := &writer{depth: w.depth + 1}
	content(inner)
	if inner.Len() == 0 {
		return
	}
	w.raw(strings.Join(quoteAll(head), " ") + " {")
	_, _ = w.WriteString(inner.String())
	w.raw("}")
}

func (w *writer) line(words ...string) { w.raw(strings.Join(quoteAll(words), " ")) }

func (w *writer) raw(text string) {
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
