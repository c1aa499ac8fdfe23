package oauth2llm

import (
	"context"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// shareTokens makes a provider's tokens those of all instances, where they can be
// shared. A refresh token is kept in the storage for all instances anyway, and the access
// tokens with it.
func shareTokens(fetcher tokens.Fetcher, resolved *config.Resolved, logger *zap.Logger) tokens.Fetcher {
	if resolved.Identity == nil || resolved.Declared.RefreshToken != "" || resolved.Declared.RefreshTokenFile != "" {
		return fetcher
	}
	return &tokens.Shared{Fetcher: fetcher, Storage: &storage, Identity: resolved.Identity, Provider: resolved.Name, Logger: logger}
}

// logNotShared names the providers whose tokens are not shared although share_tokens
// is set.
func (a *App) logNotShared(names []string) {
	var reasons []string
	for _, name := range names {
		if reason := a.providers[name].resolved.NotShareable; a.ShareTokens && reason != "" {
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
