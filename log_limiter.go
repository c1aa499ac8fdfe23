package oauth2llm

import (
	"time"

	"golang.org/x/time/rate"
)

// logInterval is how often a log line is written that clients can cause.
const logInterval = 30 * time.Second

// newLogLimiter allows one log line in 30 seconds. Each kind of line has its own.
func newLogLimiter() *rate.Limiter { return rate.NewLimiter(rate.Every(logInterval), 1) }
