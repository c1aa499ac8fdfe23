package tokens

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestALifetimeThatNobodySaysIsAssumedWithAWarning(t *testing.T) {
	for _, said := range []string{`0`, `"0"`, `0.0`, `true`, `false`, `{}`, `[]`, `{"a":60}`, `[60]`, `"soon"`, `"NaN"`, `null`, `""`} {
		t.Run("expires_in "+said, func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			c := testClient(&exchange{body: `{"access_token":"t","expires_in":` + said + `}`})
			c.Logger = zap.New(core)
			c.Response.DefaultTTL = 7 * time.Minute
			for range 2 {
				if token, err := c.Fetch(t.Context(), Want{}); err != nil || token.Lifetime != 7*time.Minute {
					t.Fatalf("got %v, %v", token.Lifetime, err)
				}
			}
			if all := logs.All(); len(all) != 1 || all[0].ContextMap()["assumed"] != 7*time.Minute || all[0].ContextMap()["provider"] != c.Provider {
				t.Errorf("logged %v", all)
			}
		})
	}
}

func TestATokenSaysItselfHowLongItLivesWhereTheAnswerDoesNot(t *testing.T) {
	for _, unit := range ExpiryUnits() {
		for _, said := range []string{`0`, `true`, `{}`, `[]`, `"soon"`} {
			t.Run(string(unit)+" "+said, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					core, logs := observer.New(zap.WarnLevel)
					// A bubble begins at 946684800.
					c := testClient(&exchange{body: fmt.Sprintf(`{"access_token":%q,"end":%s}`, jwt(`{"exp":946688400}`), said)})
					c.Logger = zap.New(core)
					c.Response.Expiry = []ExpiryRule{{"end", unit}}
					if token, err := c.Fetch(t.Context(), Want{}); err != nil || token.Lifetime != time.Hour || logs.Len() != 0 {
						t.Errorf("got %v, %v, and %d warnings", token.Lifetime, err, logs.Len())
					}
				})
			})
		}
	}
}
