package tokens

// A custody knows what has become of a configured refresh token.
type custody struct{}
