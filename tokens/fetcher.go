package tokens

import "context"

// A Fetcher obtains a token: one attempt, which it bounds in time. A token that
// is older than the attempt says so in its ObtainedAt.
type Fetcher interface {
	Fetch(ctx context.Context, want Want) (Token, error)
}

// A Want says what a token is wanted for.
type Want struct {
	// InHand is the token that another one shall replace, nil without one.
	InHand *Token
	// Refused says that an upstream has refused InHand.
	Refused bool
	// Waiting says that a request waits for the token.
	Waiting bool
}
