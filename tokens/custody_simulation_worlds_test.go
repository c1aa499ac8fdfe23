package tokens

import (
	"io/fs"
	"time"
)

// nearStorage is a storage without faults: it answers in some milliseconds.
var nearStorage = storageFaults{minLatency: time.Millisecond, maxLatency: 20 * time.Millisecond}

// with gives the storage one fault more.
func (f storageFaults) with(change func(*storageFaults)) storageFaults {
	change(&f)
	return f
}

var (
	withGrace  = serverFaults{grace: time.Minute}
	diskIsFull = []time.Duration{10 * time.Second, 20 * time.Second, 25 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute}
	// justTooLong ends when others have just gone on.
	justTooLong = []time.Duration{25 * time.Second, 30 * time.Second, 35 * time.Second, 40 * time.Second, 3 * time.Minute}
	minutesLong = []time.Duration{30 * time.Second, time.Minute, 3 * time.Minute}
)

// custodyWorlds are what a refresh token must survive. A server is strict where it
// says nothing of a grace.
var custodyWorlds = []custodyWorld{
	{name: "one instance, and all is well", instances: 1, well: true, storage: nearStorage},
	{name: "two instances, and all is well", instances: 2, well: true, storage: nearStorage},
	{name: "five instances, and all is well", instances: 5, well: true, storage: nearStorage},
	{name: "fifty instances start cold", instances: 50, duration: time.Minute, well: true, storage: nearStorage},
	{
		name: "a storage takes up to half a second", instances: 3, well: true,
		storage: storageFaults{minLatency: time.Millisecond, maxLatency: 500 * time.Millisecond},
	},
	{
		name: "one operation in ten fails", instances: 3,
		storage: nearStorage.with(func(f *storageFaults) { f.errors = 0.1 }),
	},
	{
		name: "errors look as if nothing were stored", instances: 3,
		storage: nearStorage.with(func(f *storageFaults) { f.errors, f.looksEmpty = 0.1, true }),
	},
	{
		name: "writes fail and land up to a minute later", instances: 3,
		storage: nearStorage.with(func(f *storageFaults) { f.lateWrites = 0.2 }),
	},
	{
		name: "the storage is down for minutes", instances: 3, storage: nearStorage,
		outages: outages{kind: everythingFails, lengths: minutesLong, atAnswers: 0.2, atSteps: 0.002},
	},
	{
		name: "the storage is down, and its operations never end", instances: 2, storage: nearStorage,
		outages: outages{kind: everythingFails, lengths: minutesLong, atAnswers: 0.2, atSteps: 0.002, hangs: true},
	},
	{
		name: "the disk is full for a while", instances: 5, storage: nearStorage,
		server:  serverFaults{longestLife: 15 * time.Second},
		outages: outages{kind: writesFail, lengths: diskIsFull, atAnswers: 0.7, atSteps: 0.002},
	},
	{
		name: "one instance is cut off from the storage", instances: 3, storage: nearStorage,
		outages: outages{kind: oneIsCutOff, lengths: minutesLong, atSteps: 0.005},
	},
	{
		name: "one instance is cut off with an answer in hand, and the server has a grace", instances: 3, storage: nearStorage,
		server:  serverFaults{grace: 5 * time.Minute, longestLife: 20 * time.Second},
		outages: outages{kind: oneIsCutOff, lengths: justTooLong, atAnswers: 0.7},
	},
	{
		name: "lists break off as if the folder were gone", instances: 5,
		storage: nearStorage.with(func(f *storageFaults) { f.brokenLists, f.brokenBy = 0.3, fs.ErrNotExist }),
	},
	{
		name: "lists break off with an error, and temporary files lie about", instances: 3,
		storage: nearStorage.with(func(f *storageFaults) { f.brokenLists, f.brokenBy, f.temporaryFiles = 0.3, errStorageFault, true }),
	},
	{
		name: "a record is listed and its writer dies before it writes", instances: 3, server: withGrace,
		storage: nearStorage.with(func(f *storageFaults) { f.listedFirst, f.killsWhileListed = true, 0.1 }),
	},
	{
		name: "the storage is emptied while one instance runs", instances: 1,
		storage: nearStorage.with(func(f *storageFaults) { f.loses = (*simulatedStorage).empty }),
	},
	{
		name: "the storage is set back while one instance runs", instances: 1,
		storage: nearStorage.with(func(f *storageFaults) { f.loses = (*simulatedStorage).setBack }),
	},
	{
		name: "answers are lost, and the server has a grace", instances: 3, storage: nearStorage,
		server: serverFaults{grace: time.Minute, lostAnswers: 0.1, unreachable: 0.1, unavailable: 0.1},
	},
	{
		name: "the requests of one instance stall", instances: 3, storage: nearStorage, server: serverFaults{stalls: 0.3},
	},
	{
		name: "the answers to one instance stall, and the server has a grace", instances: 3, storage: nearStorage,
		server: serverFaults{grace: time.Minute, stallsAnswers: 0.3},
	},
	{
		name: "instances are killed at any step", instances: 3, kills: 0.005, storage: nearStorage,
	},
	{
		name: "instances are killed with an answer in hand, and the server has a grace", instances: 5,
		killsAtAnswers: 0.1, kills: 0.002, storage: nearStorage, server: withGrace,
	},
	{
		name: "an instance is frozen before its request", instances: 3, storage: nearStorage,
		freezes: []time.Duration{10 * time.Second, 15 * time.Second, 16 * time.Second, 20 * time.Second},
	},
	{
		name: "a server keeps its refresh token", instances: 3, kills: 0.002,
		storage: nearStorage.with(func(f *storageFaults) { f.errors = 0.05 }), server: serverFaults{keepsToken: true},
	},
}
