package tokens

// claims are the claims in one folder of the storage.
type claims struct{}
