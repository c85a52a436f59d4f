// Package drive starts the drivers of clients as processes of their own and speaks to them in the language of package spec.
//
// A Client says what a driver needs and how it is started. Install fetches it through the ordinary client of its registry into
// the cache: pip for Python, npm for JavaScript, Maven for Java, the go command for Go. Versions are pinned by pure.txt and
// wheels.txt, package-lock.json, the pom of package broker and go.mod. A directory in the cache is named for the hash of what it was made
// from, so that a change makes a new one.
package drive
