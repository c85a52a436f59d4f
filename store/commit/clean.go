package commit

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"penstock"
)

// RocketMQ's marks of how full the disk is, in percent: see Options.
const (
	RocketCleanPercent  = 75 // diskMaxUsedSpaceRatio
	RocketForcePercent  = 85 // diskSpaceCleanForciblyRatio
	RocketRefusePercent = 90 // diskSpaceWarningLevelRatio
)

// lookEvery is how many bytes are appended between two looks at how full the disk is, or a quarter of a file where that is less.
const lookEvery = 16 << 20

// usedPercent is how full the disk is, rounded up, of what this process may use.
func (s *Store) usedPercent() (int, error) {
	sp, err := s.d.Space()
	if err != nil || sp.Used+sp.Free <= 0 {
		return 0, err
	}
	return int((sp.Used*100 + sp.Used + sp.Free - 1) / (sp.Used + sp.Free)), nil
}

// watches reports whether a mark is set.
func (s *Store) watches() bool {
	return s.o.CleanPercent > 0 || s.o.ForcePercent > 0 || s.o.RefusePercent > 0
}

func over(used, mark int) bool { return mark > 0 && used >= mark }

// look sees how full the disk is, after every lookEvery bytes and while writes are refused, and has it cleaned where it is too full. The
// error is that of a disk above the highest mark. The caller holds w.
func (s *Store) look(n int64) error {
	if !s.watches() {
		return nil
	}
	if s.unseen += n; s.unseen < min(lookEvery, s.o.FileBytes/4) && !s.refusing && s.looked {
		return nil
	}
	used, err := s.usedPercent()
	if err != nil {
		return nil // the write itself will say what is wrong
	}
	s.unseen, s.looked = 0, true
	if over(used, s.o.CleanPercent) || over(used, s.o.ForcePercent) {
		s.cleanLater()
	}
	was := s.refusing
	if s.refusing = over(used, s.o.RefusePercent); s.refusing {
		if !was {
			s.o.Logger.Error("disk is too full, writes are refused", "percent", used, "mark", s.o.RefusePercent)
		}
		return fmt.Errorf("%w: %d %% of the disk are used, writes are refused from %d %% on until old files are gone", penstock.ErrDiskFull, used, s.o.RefusePercent)
	}
	return nil
}

// cleanLater has MakeRoom run soon, once at a time.
func (s *Store) cleanLater() {
	if s.o.inline || s.stopping || !s.cleaning.CompareAndSwap(false, true) {
		return
	}
	s.background.Go(func() {
		defer s.cleaning.Store(false)
		if _, err := s.makeRoom(s.o.Now()); err != nil && !errors.Is(err, penstock.ErrClosed) {
			s.o.Logger.Warn("disk not cleaned", "err", err)
		}
	})
}

// MakeRoom makes room where the disk is too full: above CleanPercent what is too old goes at any hour, above ForcePercent the oldest files of the log go
// however young they are, as long as that is so and others are left. It reports the bytes of the files that went. It is called
// within appends, in the background, and may be called at any time: while another call is at it nothing is done.
func (s *Store) MakeRoom(now time.Time) (freed int64, err error) {
	if !s.cleaning.CompareAndSwap(false, true) {
		return 0, nil
	}
	defer s.cleaning.Store(false)
	return s.makeRoom(now)
}

func (s *Store) makeRoom(now time.Time) (freed int64, err error) {
	used, err := s.usedPercent()
	if err != nil || !over(used, s.o.CleanPercent) && !over(used, s.o.ForcePercent) {
		return 0, err
	}
	if over(used, s.o.CleanPercent) {
		for _, p := range s.all() {
			if err := p.expire(now); err != nil {
				return 0, err
			}
		}
		if freed, err = s.dropFiles(now, true); err != nil {
			return freed, err
		}
	}
	for {
		if used, err = s.usedPercent(); err != nil || !over(used, s.o.ForcePercent) {
			return freed, err
		}
		n, err := s.dropOldest(now)
		freed += n
		if n == 0 || err != nil && !errors.Is(err, penstock.ErrDiskFull) {
			return freed, err
		}
		s.o.Logger.Warn("disk is too full, the oldest file of the log was deleted before its time", "percent", used, "bytes", n)
	}
}

// expire gives up what is too old, in files of the log that are full and durable.
func (p *Partition) expire(now time.Time) error {
	p.own.Lock()
	defer p.own.Unlock()
	if err := p.ready(); err != nil {
		if errors.Is(err, penstock.ErrClosed) {
			return nil // removed meanwhile
		}
		return err
	}
	n, _ := p.expired(now, p.durable(), true)
	return p.giveUp(n)
}

// durable is the offset behind what lies in files of the log that are full and durable. The caller holds own.
func (p *Partition) durable() penstock.Offset {
	l := p.st.log
	synced := penstock.Position(l.synced.Load())
	at := p.facts.start
	for i, g := range p.q.groups {
		l.mu.RLock()
		f := l.at(g.file)
		l.mu.RUnlock()
		if f != nil && f.end() > synced {
			break
		}
		if at = p.end; i+1 < len(p.q.groups) {
			at = p.q.groups[i+1].base
		}
	}
	return at
}

// dropOldest removes the oldest file of the log, whoever keeps something in it. The file that is written and what is not durable stay.
func (s *Store) dropOldest(now time.Time) (int64, error) {
	l := s.log
	l.mu.RLock()
	var first *logFile
	if len(l.files) > 1 && int64(l.files[0].end()) <= l.synced.Load() {
		first = l.files[0]
	}
	l.mu.RUnlock()
	if first == nil {
		return 0, nil
	}
	err := s.yield(first.start)
	if errors.Is(err, penstock.ErrDiskFull) {
		// There is no room to note it: the file goes first. A crash before it is noted leaves places that are refused.
		s.w.Lock()
		freed := l.drop(first.end(), time.Time{})
		err = l.purge(time.Time{})
		s.w.Unlock()
		if err == nil {
			err = s.yield(first.start)
		}
		return freed, err
	}
	if err != nil {
		return 0, err
	}
	return s.dropFiles(now, true)
}

// yield has all partitions give up what lies in files of the log up to the one that begins at a position.
func (s *Store) yield(file penstock.Position) error {
	for _, p := range s.all() {
		if err := p.yield(file); err != nil {
			return err
		}
	}
	return nil
}

// yield gives up what lies in files of the log up to the one that begins at a position.
func (p *Partition) yield(file penstock.Position) error {
	p.own.Lock()
	defer p.own.Unlock()
	n := 0
	for n < len(p.q.groups) && p.q.groups[n].file <= file {
		n++
	}
	if n == 0 {
		return nil
	}
	if err := p.ready(); err != nil {
		if errors.Is(err, penstock.ErrClosed) {
			return nil
		}
		return err
	}
	return p.giveUp(n)
}

// due reports whether what is too old may go at this hour, or at any because the disk is too full.
func (s *Store) due(now time.Time) bool {
	if len(s.o.DeleteHours) == 0 || slices.Contains(s.o.DeleteHours, now.Hour()) {
		return true
	}
	if s.o.CleanPercent <= 0 {
		return false
	}
	used, err := s.usedPercent()
	return err == nil && over(used, s.o.CleanPercent)
}

// retired is a file that is no part of the log any more and not deleted yet.
type retired struct {
	name string
	at   time.Time // when to delete it
}

// purge deletes retired files whose time has come, all of them with a zero time. The caller holds Store.w.
func (l *Log) purge(now time.Time) error {
	for len(l.retired) > 0 && (now.IsZero() || !now.Before(l.retired[0].at)) {
		if err := l.st.d.Remove(l.retired[0].name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("commit log: %w", err)
		}
		l.retired = l.retired[1:]
	}
	return nil
}
