// Package disktest is a file system in memory for tests: it implements disk.FS, and it can crash, fill up, and fail or
// stall the nth call. For every file and directory it keeps what is durable and what is not.
//
//   - Crash returns the file system as it may be found after a power cut, chosen by a seed. Of what was not synced, any
//     512-byte sector of any write may be there or not, sizes and truncates too, and each name that was made, moved or
//     removed. A rename is atomic. Sync makes a file's bytes and size durable and not its name; SyncDir makes the names
//     in one directory durable and nothing else, not even that directory's own name.
//   - Kill returns it as after the death of the process: everything written is there, and still not durable.
//   - After a failed sync the bytes that it should have made durable stay in doubt, whatever later syncs say.
//   - Inject takes rules as text, one call or a range of calls each: "sync#3=EIO", "write(*.log)#5=ENOSPC",
//     "write#7=short", "syncdir#1=stall", "change#12=halt".
//
// Copies share their pages, so that a crash costs microseconds and a test can afford 100,000 of them.
//
// Room is counted in blocks of 4 KiB of files, reserved ones included; names take none. All methods may be called
// concurrently.
package disktest
