package tokens

import "context"

// A Value is one value of a token request. It is read anew for every attempt,
// so that a rotated file or a fresh identifier is seen. Its error says which
// variable or file could not be read, never a value.
type Value interface {
	Read(ctx context.Context) (Secret, error)
}

// Literal is a Value that is always the same.
type Literal string

// Read returns the literal.
func (l Literal) Read(context.Context) (Secret, error) { return NewSecret(string(l)), nil }
