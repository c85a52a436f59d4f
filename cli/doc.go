// Package cli is what the commands against a cluster share: where the cluster is, what is printed in which form, how errors
// are told, what a shell completes. Each family of commands is a sub-room that exports Commands; cmd/penstock mounts them.
//
// Any Kafka cluster will do. Nothing here knows that a broker is Penstock.
package cli
