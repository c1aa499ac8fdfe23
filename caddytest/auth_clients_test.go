package caddytest

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"sync"

	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"
)

// An oauthClient is a client as it is registered at an authServer. It may use
// every grant that the server knows.
type oauthClient struct {
	id, secret string
	// method defaults to client_secret_post.
	method goidc.AuthnMethod
	// key, if set, is what the client signs with, assertions of private_key_jwt
	// as well as those of the JWT bearer grant.
	key *signingKey
	// certificate is the name in the client's certificate.
	certificate string
}

const testScope = "llm.read llm.write"

// register makes these clients the ones that the server knows. Refresh tokens
// stay valid.
func (s *authServer) register(clients ...oauthClient) {
	s.t.Helper()
	var registered []*goidc.Client
	for _, c := range clients {
		if c.method == "" {
			c.method = goidc.AuthnMethodSecretPost
		}
		client := &goidc.Client{
			ID: c.id, Secret: c.secret,
			ClientMeta: goidc.ClientMeta{
				TokenAuthnMethod:          c.method,
				TLSSubjectAlternativeName: c.certificate,
				ScopeIDs:                  testScope,
				GrantTypes:                []goidc.GrantType{goidc.GrantClientCredentials, goidc.GrantRefreshToken, goidc.GrantJWTBearer},
			},
		}
		if c.key != nil {
			client.JWKS = &goidc.JSONWebKeySet{Keys: []goidc.JSONWebKey{c.key.jwk()}}
		}
		registered = append(registered, client)
	}
	var used sync.Map
	op, err := provider.New(s.issuer(), &s.grants,
		func(context.Context) (goidc.JSONWebKeySet, error) {
			return goidc.JSONWebKeySet{Keys: []goidc.JSONWebKey{{Key: s.key, KeyID: "k1", Use: "sig", Algorithm: string(goidc.ES256)}}}, nil
		},
		provider.WithIDTokenSignatureAlgs(goidc.ES256),
		provider.WithScopes(goidc.NewScope("llm.read"), goidc.NewScope("llm.write")),
		provider.WithTokenAuthnMethods(goidc.AuthnMethodSecretPost, goidc.AuthnMethodSecretBasic, goidc.AuthnMethodSecretJWT,
			goidc.AuthnMethodPrivateKeyJWT, goidc.AuthnMethodTLS, goidc.AuthnMethodNone),
		provider.WithPrivateKeyJWTSignatureAlgs(goidc.RS256, goidc.PS256, goidc.ES256, goidc.SignatureAlgorithm("EdDSA")),
		provider.WithSecretJWTSignatureAlgs(goidc.HS256, goidc.HS512),
		// An assertion is good for one request (RFC 7523 §3).
		provider.WithConsumeJTIFunc(func(_ context.Context, id string) error {
			if _, again := used.LoadOrStore(id, nil); again {
				return errors.New("the assertion was used before")
			}
			return nil
		}),
		provider.WithMTLS(s.issuer(), clientCertificate),
		provider.WithClientCredentialsGrant(),
		provider.WithRefreshTokenGrant(&s.grants),
		provider.WithRefreshTokenRotation(),
		provider.WithJWTBearerGrant(func(_ context.Context, assertion string) (subject string, err error) {
			return s.subject(assertion, clients)
		}),
		provider.WithTokenOptions(func(context.Context, *goidc.Grant, *goidc.Client) goidc.TokenOptions {
			return goidc.NewJWTTokenOptions(goidc.ES256, int(s.lifetime.Load()))
		}),
		provider.WithStaticClients(registered[0], registered[1:]...),
	)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = op.Handler()
}

// subject is whom an assertion of the JWT bearer grant (RFC 7523 §2.1) speaks
// for. Its issuer must be one of the clients.
func (s *authServer) subject(assertion string, clients []oauthClient) (string, error) {
	for _, c := range clients {
		if c.key == nil {
			continue
		}
		if _, claims, err := c.key.parse(assertion, c.id, s.tokenURL()); err == nil {
			return claims.GetSubject()
		}
	}
	return "", errors.New("no client has signed this for this server")
}

type clientCertificateKey struct{}

// withClientCertificate keeps a client's certificate where the library asks for
// it.
func withClientCertificate(r *http.Request) *http.Request {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), clientCertificateKey{}, r.TLS.PeerCertificates[0]))
}

func clientCertificate(ctx context.Context) (*x509.Certificate, error) {
	certificate, ok := ctx.Value(clientCertificateKey{}).(*x509.Certificate)
	if !ok {
		return nil, errors.New("the client has sent no certificate")
	}
	return certificate, nil
}

// grants keeps what refresh tokens stand for. Whoever has a grant can change it,
// so everyone gets a copy.
type grants struct {
	mu   sync.Mutex
	byID map[string]goidc.Grant
}

// issue makes a refresh token of a client good for one use.
func (g *grants) issue(client, refreshToken string) {
	_ = g.SaveGrant(context.Background(), &goidc.Grant{
		ID: "grant of " + refreshToken, ClientID: client, Subject: "user", Scopes: testScope, RefreshToken: refreshToken,
	})
}

// current is the newest refresh token of a grant that began with another.
func (g *grants) current(first string) string {
	grant, _ := g.Grant(context.Background(), "grant of "+first)
	return grant.RefreshToken
}

func (g *grants) SaveGrant(_ context.Context, grant *goidc.Grant) error {
	if grant.RefreshToken == "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byID == nil {
		g.byID = map[string]goidc.Grant{}
	}
	g.byID[grant.ID] = *grant
	return nil
}

func (g *grants) Grant(_ context.Context, id string) (*goidc.Grant, error) {
	return g.find(func(grant goidc.Grant) bool { return grant.ID == id })
}

func (g *grants) GrantByRefreshToken(_ context.Context, refreshToken string) (*goidc.Grant, error) {
	return g.find(func(grant goidc.Grant) bool { return grant.RefreshToken == refreshToken })
}

func (g *grants) find(matches func(goidc.Grant) bool) (*goidc.Grant, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, grant := range g.byID {
		if matches(grant) {
			return &grant, nil
		}
	}
	return nil, goidc.ErrNotFound
}
