//go:build !race

package segment

// raceEnabled tells that pools drop things at random.
const raceEnabled = false
