package disk

import "testing"

// FuzzJournal parses anything as a half of the journal, and what it finds as entries.
func FuzzJournal(f *testing.F) {
	one := FakeRecord(1, "logs/a/0/00000000000000000000.log", []byte("bytes"))
	f.Add(one)
	f.Add(append(one, FakeRecord(2, "b", nil)...))
	f.Add(append(one[:40:40], one...))
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		for _, r := range parseJournal(b) {
			total += journalHeader + len(r.body)
			p := replayer{open: map[string]*Handle{}, d: New(noFiles{}, Options{})}
			_ = p.record(&r)
			if p.lost > int64(len(b)) {
				t.Errorf("%d bytes of entries in %d", p.lost, len(b))
			}
		}
		if total > len(b) {
			t.Errorf("%d bytes of records in %d", total, len(b))
		}
	})
}
