//go:build race

package rocket

// raceEnabled says that the race detector is on.
const raceEnabled = true
