package oauth2llm

import (
	"context"
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// shareTokens makes a provider's tokens those of all instances. Where they cannot be
// shared it returns the fetcher itself and says why; a refresh token is kept in the
// storage for all instances anyway, and the access tokens with it.
func shareTokens(fetcher tokens.Fetcher, name string, all config.Providers, environment config.Environment, logger *zap.Logger) (shared tokens.Fetcher, reason string, err error) {
	identity, err := all.Identity(name, environment)
	if own, ok := errors.AsType[*config.NotShareableError](err); ok {
		return fetcher, own.Reason, nil
	}
	if err != nil {
		return nil, "", err
	}
	if all[name].RefreshToken != "" || all[name].RefreshTokenFile != "" {
		return fetcher, "", nil
	}
	return &tokens.Shared{Fetcher: fetcher, Storage: &storage, Identity: identity, Provider: name, Logger: logger}, "", nil
}

// logNotShared names the providers whose tokens are not shared although share_tokens
// is set.
func (a *App) logNotShared(names []string) {
	var reasons []string
	for _, name := range names {
		if reason := a.providers[name].notShared; reason != "" {
			reasons = append(reasons, name+": "+reason)
		}
	}
	if len(reasons) > 0 {
		a.logger.Info("the access tokens of some providers are not shared: each instance obtains its own", zap.Strings("providers", reasons))
	}
}

// flushTimeout bounds how long the end of the process is held up by the storage.
const flushTimeout = 10 * time.Second

// flushStorage stores what could not be stored yet, if the process ends.
func flushStorage() {
	if !caddy.Exiting() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	storage.Flush(ctx)
}
