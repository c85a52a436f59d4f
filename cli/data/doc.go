// Package data is the commands that move records: produce, consume and bench. Commands is what the program mounts.
//
// produce reads lines, files or JSON lines and keeps no more of them than the client's buffer holds. consume resolves the
// places to begin and to stop at to offsets of partitions first, and reads each partition from the one to the other.
// JSON lines are one form in both directions: what consume prints, produce takes.
package data
