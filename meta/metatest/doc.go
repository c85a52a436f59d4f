// Package metatest holds an Engine in memory, for the tests of every room that needs metadata, and the suite that every
// Engine passes. Engine is the type to begin with; Open makes a meta.Store over a fresh one.
package metatest
