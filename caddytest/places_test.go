package caddytest

import (
	"net/http"
	"slices"
	"testing"
)

func TestATokenGoesWhereItsPlaceIs(t *testing.T) {
	for name, test := range map[string]struct{ place, field, prefix string }{
		"Authorization behind Bearer by default":        {"", "Authorization", "Bearer "},
		"another header without a prefix":               {"place header X-Token", "X-Token", ""},
		"another header with a prefix":                  {`place header X-Token "Token "`, "X-Token", "Token "},
		"Authorization with a prefix of its own":        {`place header authorization "Key "`, "Authorization", "Key "},
		"Authorization without a prefix":                {`place header Authorization ""`, "Authorization", ""},
		"a header in which clients send keys":           {"place header api-key", "Api-Key", ""},
		"a header that clients are known to be kept in": {"place header Cookie session=", "Cookie", "session="},
	} {
		t.Run(name, func(t *testing.T) {
			auth, up := newCorpAuth(t), newUpstream(t, nil)
			g := corpSite{auth: auth, upstream: up.address(), provider: test.place, directive: gatewayKey + "keep_header " + test.field}.start(t)
			g.wire(t, chatWith("Authorization: Bearer evil", "X-Token: evil", "x-token: evil", "Cookie: evil=1")).wantStatus(t, http.StatusOK)
			got := up.last(t).header
			wantToken(t, auth, got, test.field, test.prefix)
			for _, field := range []string{"Authorization", "Api-Key", "Cookie"} {
				if field != test.field && got[field] != nil {
					t.Errorf("%s arrived as %q", field, got[field])
				}
			}
		})
	}
}

func TestHeaderUpArrivesAndClientsCannotOverrideIt(t *testing.T) {
	t.Setenv("TEST_RESOURCE_GROUP", "from the environment")
	const companions = `header_up AI-Resource-Group {env.TEST_RESOURCE_GROUP}
		header_up X-Version 2
		header_up +X-List ours
		header_up ?X-Region eu
		header_up -X-Debug
		header_up -X-Internal-*
		header_up Cookie a=ours`
	for name, test := range map[string]struct {
		sent []string
		want map[string][]string
	}{
		"a client that sends none of them": {nil, map[string][]string{
			"Ai-Resource-Group": {"from the environment"}, "X-Version": {"2"}, "X-List": {"ours"}, "X-Region": {"eu"},
			"X-Debug": nil, "X-Internal-User": nil, "Cookie": {"a=ours"},
		}},
		"a client that sends all of them": {
			[]string{
				"AI-Resource-Group: evil", "ai-resource-group: evil", "X-Version: 1", "X-List: a", "X-List: b", "X-Region: us",
				"X-Debug: 1", "X-Internal-User: root", "X-INTERNAL-user: root", "Cookie: a=evil",
			},
			map[string][]string{
				"Ai-Resource-Group": {"from the environment"}, "X-Version": {"2"}, "X-List": {"a", "b", "ours"}, "X-Region": {"us"},
				"X-Debug": nil, "X-Internal-User": nil, "Cookie": {"a=ours"},
			},
		},
		"a client that names them in Connection": {
			[]string{"Connection: AI-Resource-Group, X-Version, X-List, X-Region, close", "X-List: a"},
			map[string][]string{"Ai-Resource-Group": {"from the environment"}, "X-Version": {"2"}, "X-List": {"a", "ours"}, "X-Region": {"eu"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			auth, up := newCorpAuth(t), newUpstream(t, nil)
			g := corpSite{auth: auth, upstream: up.address(), provider: companions, directive: gatewayKey}.start(t)
			// A second request shows that the first left nothing behind.
			for range 2 {
				g.wire(t, chatWith(test.sent...)).wantStatus(t, http.StatusOK)
				got := up.last(t).header
				wantToken(t, auth, got, "Authorization", "Bearer ")
				for field, want := range test.want {
					if !slices.Equal(got[field], want) {
						t.Errorf("%s arrived as %q, want %q", field, got[field], want)
					}
				}
			}
		})
	}
}
