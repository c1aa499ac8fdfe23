//go:build race

package caddytest

// raceDetector says that this is a build with the race detector.
const raceDetector = true
