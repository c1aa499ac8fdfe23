package main

// The code whose tests are tried.
const (
	claimFile   = "tokens/claim.go"
	claimsFile  = "tokens/claims.go"
	storageFile = "tokens/storage.go"
	custodyFile = "tokens/custody.go"
	askFile     = "tokens/custody_ask.go"
	recordFile  = "tokens/custody_record.go"
	storedFile  = "tokens/stored_token.go"
)

// mutations are what must be noticed: one line each.
var mutations = []mutation{
	// Claims.
	{
		"everybody withdraws", claimFile,
		"slices.Min(v.live) < k.name, time.Since(first) > contentionTime", "time.Since(first) >= 0",
		"TestWhoSeesAnotherClaimWithdraws",
	},
	{
		"nobody withdraws", claimFile,
		"		case len(v.live) == 0:\n			return v, nil\n", "		case true:\n			return v, nil\n",
		"TestOneClaimsAtATime",
	},
	{
		"no look after the claim", claimFile,
		"	after, err := own.lookAround(ctx)\n", "	after, err := before, error(nil)\n",
		"TestOneClaimsAtATime",
	},
	{
		"the own claim need not be listed", claimFile,
		"		case !v.own:\n", "		case false:\n",
		"TestAListWithoutTheOwnClaimIsNotBelieved",
	},
	{
		"a nonce is used again", claimsFile,
		"	_, _ = rand.Read(nonce)\n", "	_ = rand.Reader\n",
		"TestOneClaimsAtATime",
	},
	{
		"no hold after an abandoned claim", claimFile,
		"	wait(ctx, terms.hold)\n", "",
		"TestWhoOnlyRefreshesAheadDoesNotPassASilentClaim",
	},
	{
		"keys of a list that broke off are used", storageFile,
		"		case !errors.Is(err, fs.ErrNotExist):\n			return nil, err\n", "		case !errors.Is(err, fs.ErrNotExist):\n			return keys, nil\n",
		"TestAListIsWholeOrNone",
	},
	{
		"a sleep counts as watching", claimsFile,
		"min(now.Sub(s.at), lookInterval)", "now.Sub(s.at)",
		"TestAClaimIsAbandonedWhenItWasSeenForAsLongAsItPromises",
	},
	// Refresh tokens.
	{
		"an uncertain claim is deleted", askFile,
		"	own.leave(c.away.until)\n", "	own.release(context.Background())\n",
		"TestARefreshTokenThatMayHaveBeenUsedUpIsLeftAlone",
	},
	{
		"two writers have one generation", askFile,
		"		number += len(own.passed)\n", "		_ = number\n",
		"TestWhoOnlyRefreshesAheadDoesNotPassASilentClaim",
	},
	{
		"a record that is listed and not found is believed to be missing", recordFile,
		"	return s.watched >= s.promise\n}\n\n// write", "	return true\n}\n\n// write",
		"TestARecordThatIsListedAndNotFoundIsWaitedFor",
	},
	{
		"the claim is deleted before the record is stored", askFile,
		"	if failure := c.write(ctx); failure != nil {\n", "	own.finish(ctx)\n	if failure := c.write(ctx); failure != nil {\n",
		"TestWhatCannotBeSavedServesAndIsSavedLater",
	},
	{
		"all generations have one key", recordFile,
		`fmt.Sprintf("%s%08d", generationPrefix, n)`, `fmt.Sprintf("%s%08d", generationPrefix, min(n, 1))`,
		"TestOneRedemptionServesAllInstances",
	},
	{
		"a lower generation is taken over", custodyFile,
		"	case stored > c.held.Generation:\n", "	case stored != c.held.Generation:\n",
		"TestTheStorageThatHasLostARecordGetsItAgain",
	},
	{
		"memory is not saved again", custodyFile,
		"	case own != nil && stored < c.held.Generation && c.unsaved == nil:\n", "	case false:\n",
		"TestTheStorageThatHasLostARecordGetsItAgain",
	},
	{
		"a refresh token is redeemed though its record cannot be loaded", recordFile,
		"		case err != nil:\n			return k, err\n		}\n		delete", "		case err != nil:\n			return k, nil\n		}\n		delete",
		"TestWhatTheStorageDoesDecidesWhetherARefreshTokenIsRedeemed",
	},
	{
		"each error counts as a read-only file system", storageFile,
		"	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)\n", "	return err != nil || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)\n",
		"TestWhatTheStorageDoesDecidesWhetherARefreshTokenIsRedeemed",
	},
	{
		"a refresh token is known by its provider", "tokens/refresh.go",
		"custody(configured)\n", "custody(NewSecret(c.Provider + configured.String()))\n",
		"TestARefreshTokenThatIsPutBackGoesOnWhereItWas",
	},
	{
		"only invalid_grant falls back", askFile,
		"	return !e.temporary && e.Code != CodeInvalidClient && ", "	return e.Code == CodeInvalidGrant && ",
		"TestAnyFinalRefusalOfARefreshTokenFallsBack",
	},
	{
		"the end of a refresh token is not stored", askFile,
		"		err = c.writeEnded(context.WithoutCancel(ctx), used)\n", "		err = nil\n",
		"TestAnEndedRefreshTokenIsAskedForByNoInstance",
	},
	{
		"a request leaves however late it is", "tokens/sending.go",
		"	if b.late() {\n", "	if false {\n",
		"TestARequestThatIsLateDoesNotLeave",
	},
	// Access tokens.
	{
		"the refused token is taken again", storedFile,
		" || want.InHand != nil && want.InHand.Value.Reveal() == s.Token", "",
		"TestAStoredTokenServesWhileItIsSureToBeGood",
	},
	{
		"a token of the future is taken", storedFile,
		"	case s.inFuture(now):\n", "	case false:\n",
		"TestAStoredTokenServesWhileItIsSureToBeGood",
	},
	{
		"a token that was taken ends late", storedFile,
		"lifetime - min(storedTokenMargin, lifetime/10)", "lifetime",
		"TestOneRedemptionServesAllInstances",
	},
	{
		"an identity holds the path of a file", "config/identity.go",
		"			text.WriteString(read)\n", "			text.WriteString(read + p.raw)\n",
		"TestTheSameCredentialsHaveTheSameIdentityWhereverTheyStand",
	},
	{
		"a suspect token is dropped", "tokens/suspect.go",
		"	m.current.Store(&inHand{Token: h.Token, suspect: true})\n", "	m.current.Store(nil)\n",
		"TestA401ThatOneClientProvokesWhileTheTokenEndpointIsDownFailsNobodyElse",
	},
	{
		"a refused token of the storage is taken again", "tokens/shared.go",
		"		s.noteRefused(want.InHand.Value)\n", "		_ = s.noteRefused\n",
		"TestARefusedTokenIsNeverTakenAgain",
	},
	{
		"an outage is asked about once in 30 s", "tokens/backoff.go",
		"	outageInterval = 2 * time.Second\n", "	outageInterval = 30 * time.Second\n",
		"TestRecoveryAfterAnOutageTakesAtMostTwoAndAHalfSeconds",
	},
}
