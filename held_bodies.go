package oauth2llm

import "github.com/oauth2llm/caddy-oauth2-llm/internal/message"

// heldBodies bounds the memory of all bodies that are held, also of requests of
// earlier configurations.
var heldBodies message.Budget

// defaultHeldBodies is held_bodies where it is not set, in bytes.
const defaultHeldBodies = 1 << 30

func init() { heldBodies.SetLimit(defaultHeldBodies) }
