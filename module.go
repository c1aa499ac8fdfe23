// Package oauth2llm is a Caddy plugin that obtains OAuth2 access tokens, keeps
// them fresh, and puts them on the LLM requests that reverse_proxy forwards.
//
// A request's way begins in serve.go: it is read and decided (route.go, models.go), gets a
// token, and is dressed (aim.go). Upstreams (upstreams.go) and Transport (transport.go)
// take it to its provider: walk.go says what follows an attempt, dead_connections.go what
// follows a connection that is dead. All of them share its lease (lease.go); failures.go says what a
// failing request gets, and errors.go writes it.
//
// A configuration's way begins in caddyfile.go, caddyfile_global.go and client_key.go, or
// in native JSON, and ends in provider.go, where a provider meets the state of its tokens.
package oauth2llm

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
	"github.com/oauth2llm/caddy-oauth2-llm/internal/nativejson"
)

func init() {
	caddy.RegisterModule(new(App))
	caddy.RegisterModule(new(Handler))
}

const appName = "oauth2_llm"

// App holds the OAuth2 providers of LLMs and keeps their access tokens. Tokens
// are obtained when the first request needs one, replaced in the background
// before they end, and survive a reload that does not change what they are
// obtained with.
//
// In a Caddyfile this is the global option `oauth2_llm`.
type App struct {
	Declarations

	// The most memory, in bytes, that the held bodies of all requests take
	// together, decoded ones too; over it 503 `overloaded` with `Retry-After: 1`,
	// before more of a body is read. It counts for the process, over reloads, and
	// the limit of the newest configuration holds. Memory is taken as a body comes,
	// not as its length promises. Default: 1 GiB.
	HeldBodies int64 `json:"held_bodies,omitempty"`

	// Whether instances share access tokens: they are kept, encrypted, in Caddy's
	// `storage`, and all instances with the same provider and the same credentials
	// use one. An instance that cannot use the storage works with tokens of its own.
	// It needs a storage that all instances use, and clocks that differ by less than
	// 10 s. Providers without a `client_secret`, a signing key or a `refresh_token`
	// are not shared: their clients are the instances themselves. Default: no.
	ShareTokens bool `json:"share_tokens,omitempty"`

	logger *zap.Logger
	// own are the providers that every handler knows: those of the app itself.
	own map[string]*provider
	// unbindStorage takes back the storage of this configuration.
	unbindStorage func()
	mu            sync.RWMutex
	// providers are all that are declared, those of handlers among them.
	providers map[string]*provider
}

// Declarations are the providers that the app or a handler declares.
type Declarations struct {
	// Files in the format of CrewAI's `litellm_config.json`, whose
	// `oauth2_providers` become providers. Paths are relative to the working
	// directory (in a Caddyfile: to the Caddyfile's folder).
	ConfigFiles []string `json:"config_files,omitempty"`

	// The SHA-256 digest of each config file, by path. The Caddyfile adapter
	// writes it, so that a reload notices a changed file; nothing compares it.
	ConfigFileDigests map[string]string `json:"config_file_digests,omitempty"`

	// Providers by name. A provider that a config file declares too gets the
	// fields of both; a field may be set in one of them only.
	Providers config.Providers `json:"providers,omitempty"`
}

// declared reports whether there is anything declared.
func (d *Declarations) declared() bool { return len(d.ConfigFiles) > 0 || len(d.Providers) > 0 }

// load reads the config files, and joins them with the providers beside them.
func (d *Declarations) load() (config.Providers, error) {
	all := config.Providers{}
	for _, path := range d.ConfigFiles {
		inFile, err := config.LoadFile(path)
		if err != nil {
			return nil, err
		}
		if err := all.Add(inFile); err != nil {
			return nil, err
		}
	}
	return all, all.Complement(d.Providers)
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  appName,
		New: func() caddy.Module { return new(App) },
	}
}

// UnmarshalJSON implements json.Unmarshaler: what is wrong is said by field.
func (a *App) UnmarshalJSON(content []byte) error { return nativejson.Decode(content, a) }

// Provision loads the app's providers. It does not touch the network.
func (a *App) Provision(ctx caddy.Context) error {
	a.logger = ctx.Logger()
	a.providers = make(map[string]*provider)
	declared, err := a.load()
	if err != nil {
		return err
	}
	if err := registerMetrics(ctx); err != nil {
		return err
	}
	a.unbindStorage = storage.Bind(ctx.Storage(), a.logger)
	a.own, err = a.declare(ctx, declared)
	return err
}

// declare makes providers known, and returns them with the app's own. One that
// is declared elsewhere too must be the same there. Their transport modules
// live as long as ctx.
func (a *App) declare(ctx caddy.Context, declared config.Providers) (map[string]*provider, error) {
	result := maps.Clone(a.own)
	if len(declared) == 0 {
		return result, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()

	known := make(map[string]*config.Resolved, len(a.own))
	for name, p := range a.own {
		known[name] = p.resolved
	}
	resolved, err := declared.Resolve(a.environment(), known)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(resolved)) {
		if known := a.providers[name]; known != nil && !config.Equal(known.declared, resolved[name].Declared) {
			return nil, resolved[name].Fault("", errors.New("is declared twice, and not with the same fields; declare it once, in the global option"))
		}
	}

	if result == nil {
		result = make(map[string]*provider, len(declared))
	}
	var added []string
	for _, name := range slices.Sorted(maps.Keys(resolved)) {
		if a.providers[name] == nil {
			p, err := newProvider(ctx, resolved[name], a.logger, a.ShareTokens)
			if err != nil {
				return nil, err
			}
			a.providers[name] = p
			added = append(added, name)
		}
		result[name] = a.providers[name]
	}
	a.logNotShared(added)
	return result, nil
}

// Validate refuses what cannot work.
func (a *App) Validate() error {
	if a.HeldBodies < 0 {
		return errors.New("held_bodies must be above 0")
	}
	return nil
}

// Start implements caddy.App. Tokens are obtained when a request needs one. The
// newest configuration's limit holds.
func (a *App) Start() error {
	limit := a.HeldBodies
	if limit == 0 {
		limit = defaultHeldBodies
	}
	heldBodies.SetLimit(limit)
	return nil
}

// Stop implements caddy.App. Requests under way keep their providers.
func (*App) Stop() error {
	flushStorage()
	return nil
}

// Cleanup releases the providers' shared state. It is also called when
// Provision failed half-way, and while requests are still under way.
func (a *App) Cleanup() error {
	flushStorage()
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, p := range a.providers {
		p.release()
	}
	if a.unbindStorage != nil {
		a.unbindStorage()
	}
	return nil
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.Validator    = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)

// heldBodies bounds the memory of all bodies that are held, also of requests of
// earlier configurations.
var heldBodies message.Budget

// defaultHeldBodies is held_bodies where it is not set, in bytes.
const defaultHeldBodies = 1 << 30

func init() { heldBodies.SetLimit(defaultHeldBodies) }
