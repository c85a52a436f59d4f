package disk

import "sync/atomic"

// Stats are counters since the start, and the gauges at the end. Counters that belong together may be one call apart.
type Stats struct {
	Rounds        int64 // rounds of group commit
	Syncs         int64 // fdatasync of one file, inside and outside of group commit
	SyncAlls      int64 // syncfs
	DirSyncs      int64 // fsync of a directory
	Writes        int64 // calls of WriteVec
	WriteBytes    int64 // bytes that reached a file
	Reads         int64 // calls of ReadAt; sendfile is not seen here
	ReadBytes     int64 // bytes that ReadAt returned
	JournalRounds int64 // rounds that were made durable by the journal
	JournalBytes  int64 // bytes written to it for that
	Stalls        int64 // calls longer than Options.StallWarning
	Full          int64 // calls that found the disk full
	Reopens       int64 // descriptors opened again because somebody read a sealed file
	Handles       int64 // handles that are held now
	Files         int64 // descriptors that are open now
}

type counters struct {
	rounds, syncs, syncAlls, dirSyncs           atomic.Int64
	writes, writeBytes, reads, readBytes        atomic.Int64
	journalRounds, journalBytes                 atomic.Int64
	stalls, full, reopens, handles, descriptors atomic.Int64
}

// Stats returns the counters.
func (d *Disk) Stats() Stats {
	c := &d.stats
	return Stats{
		Rounds: c.rounds.Load(), Syncs: c.syncs.Load(), SyncAlls: c.syncAlls.Load(), DirSyncs: c.dirSyncs.Load(),
		Writes: c.writes.Load(), WriteBytes: c.writeBytes.Load(), Reads: c.reads.Load(), ReadBytes: c.readBytes.Load(),
		JournalRounds: c.journalRounds.Load(), JournalBytes: c.journalBytes.Load(),
		Stalls: c.stalls.Load(), Full: c.full.Load(), Reopens: c.reopens.Load(),
		Handles: c.handles.Load(), Files: c.descriptors.Load(),
	}
}
