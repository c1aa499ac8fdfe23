// Package nativejson reads the native JSON of Caddy modules strictly, with errors that
// name the field in the words of JSON, where encoding/json names Go types.
package nativejson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

// Decode decodes an object into a struct, given by a pointer. Unknown fields and values
// of another type are errors, a *config.ConfigurationError each.
func Decode(content []byte, into any) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(content, &members); err != nil {
		return &config.ConfigurationError{Err: inWords(err)}
	}
	v := reflect.ValueOf(into).Elem()
	fields := make(map[string][]int)
	for _, field := range reflect.VisibleFields(v.Type()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && field.IsExported() {
			fields[name] = field.Index
		}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(members)) {
		index, known := fields[name]
		if !known {
			errs = append(errs, &config.ConfigurationError{Field: strconv.Quote(name), Err: config.UnknownName("field", name, slices.Sorted(maps.Keys(fields)))})
			continue
		}
		errs = append(errs, decodeField(members[name], v.FieldByIndex(index), name))
	}
	return errors.Join(errs...)
}

func decodeField(content []byte, v reflect.Value, name string) error {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v.Addr().Interface())
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*config.ConfigurationError](err); ok && known.Provider+known.Field != "" {
		return err
	}
	if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && mistyped.Field != "" {
		name += "." + mistyped.Field
	}
	if v.Type() == reflect.TypeFor[caddy.Duration]() {
		err = errDuration
	}
	return &config.ConfigurationError{Field: name, Err: inWords(err)}
}

var errDuration = errors.New(`must be a duration such as "15s"`)

// inWords says what is wrong without the names of Go types.
func inWords(err error) error {
	if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		got, _, _ := strings.Cut(mistyped.Value, " ")
		return fmt.Errorf("must be %s, not %s", kindInWords(mistyped.Type), valueInWords(got))
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("unknown field %s", field)
	}
	return err
}

func kindInWords(of reflect.Type) string {
	switch of.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	default:
		return "a string"
	}
}

func valueInWords(value string) string {
	switch value {
	case "bool":
		return "true or false"
	case "array":
		return "a list"
	case "object":
		return "an object"
	}
	return "a " + value
}
