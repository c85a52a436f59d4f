// Package admin is the commands that look after topics, configuration and consumer groups of any Kafka cluster: topic, group,
// and those under config that ask a cluster.
//
// What takes something away (topic trim, group seek, group delete, group forget) shows first what it would do, and does it only with
// --apply. Where committed offsets change, a file is written before that takes them back (undo.go).
//
// Answers of a cluster are gathered completely before anything is printed. Nothing here is shared between commands.
package admin
