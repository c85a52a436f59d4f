// Package metatest holds an Engine in memory, for the tests of every room that needs metadata, and the suites that every
// Engine passes: its own, and what a Store does over it. Engine is the type to begin with; Open makes a meta.Store over a fresh one.
package metatest
