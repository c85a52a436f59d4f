//go:build !race

package wire

// raceEnabled tells that pools drop things at random.
const raceEnabled = false
