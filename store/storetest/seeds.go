package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"penstock/disk"
	"penstock/disk/disktest"
)

// twinSeed drives partition and twin through clean stops.
func twinSeed(f Factory, seed uint64) error {
	x := newWorld(f, seed)
	for range 4 {
		if err := x.start(); err != nil {
			return err
		}
		if err := x.same(); err != nil {
			return fmt.Errorf("after opening: %w", err)
		}
		if err := x.drive(40); err != nil {
			return err
		}
		if err := x.same(); err != nil {
			return err
		}
		if err := x.stop(); err != nil {
			return err
		}
		if err := x.check(); err != nil {
			return err
		}
	}
	return nil
}

// same checks everything that can be read against the twin.
func (x *world) same() error {
	if err := x.w.same(x.p, x.r); err != nil {
		return err
	}
	return x.sameKeys()
}

// check runs the layout's own look at its files.
func (x *world) check() error {
	if x.f.Check == nil {
		return nil
	}
	d := disk.New(x.fs, disk.Options{})
	return errors.Join(x.f.Check(d), d.Close())
}

// crashSeed drives, crashes somewhere, recovers, looks, and so on a few times.
func crashSeed(f Factory, seed uint64) error {
	x := newWorld(f, seed)
	for round := range 3 {
		n := 1 + x.r.IntN(80)
		if round == 0 {
			n += 10
		}
		x.fs.Inject(fmt.Sprintf("change#%d=halt", n))
		err := x.start()
		if err == nil {
			if err := x.afterCrash(round); err != nil {
				return err
			}
			if err := x.drive(30); err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
			x.w.acked = max(x.w.acked, x.acknowledged())
		} else if !x.fs.Halted() {
			return fmt.Errorf("round %d: %w", round, err)
		}
		x.crash(seed*8 + uint64(round))
	}
	return x.settle()
}

// afterCrash compares what came up with what was promised.
func (x *world) afterCrash(round int) error {
	if err := x.w.recovered(x.p); err != nil {
		return fmt.Errorf("round %d: %w", round, err)
	}
	if err := x.same(); err != nil && !x.fs.Halted() {
		return fmt.Errorf("round %d: after recovery: %w", round, err)
	}
	return nil
}

// crash takes the power, or kills the process, or both in turn.
func (x *world) crash(seed uint64) {
	old := x.fs
	old.Halt()
	switch x.r.IntN(4) {
	case 0:
		x.fs = old.Kill()
	case 1:
		x.fs = old.CrashWith(disktest.CrashOptions{Seed: seed, Data: disktest.Ordered})
	default:
		x.fs = old.Crash(seed)
	}
	if x.s != nil {
		_ = x.s.Close()
	}
	_ = x.d.Close()
	x.s, x.p = nil, nil
	x.fs = rebooted(x.fs, seed)
}

// rebooted cuts the power if a sync has failed since the last time: nobody may start before, whatever the page cache holds.
func rebooted(fs *disktest.FS, seed uint64) *disktest.FS {
	for {
		d := disk.New(fs, disk.Options{})
		err := d.Err()
		_ = d.Close()
		if err == nil {
			return fs
		}
		fs = fs.Crash(seed)
	}
}

// settle opens a last time, compares, closes cleanly, and opens once more.
func (x *world) settle() error {
	x.fs.Heal()
	x.faulty = false
	if err := x.start(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	if err := x.w.recovered(x.p); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	if err := x.same(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	if q := x.p.Stats().Quarantined; q != 0 {
		return fmt.Errorf("%d places quarantined by a crash", q)
	}
	if err := x.append(); err != nil {
		return err
	}
	if err := x.stop(); err != nil {
		return err
	}
	if err := x.check(); err != nil {
		return fmt.Errorf("after a clean stop: %w", err)
	}
	if err := x.start(); err != nil {
		return err
	}
	if !x.s.Clean() {
		return errors.New("a clean stop is not known as one")
	}
	if err := x.same(); err != nil {
		return fmt.Errorf("after a clean stop: %w", err)
	}
	return x.stop()
}

// script is one fixed run that comes by every kind of call: the nth of them is then failed in turn.
func script(x *world) error {
	if err := x.start(); err != nil {
		return err
	}
	if err := x.w.recovered(x.p); err != nil {
		return err
	}
	do := []func(*world) error{
		(*world).newEpoch, (*world).append, (*world).commit, (*world).append, (*world).append, (*world).append, (*world).append, (*world).append,
		(*world).commit, (*world).saveState, (*world).checkpoint, (*world).append, (*world).age, (*world).append, (*world).truncate, (*world).append, (*world).commit,
		(*world).setStart, (*world).read, (*world).find, (*world).append, (*world).append, (*world).retain, (*world).append, (*world).commit, (*world).pull, (*world).locate, (*world).scan, (*world).saveState,
	}
	if x.f.Keys {
		do = slices.Insert(do, 11, (*world).lookUp, (*world).switchKeys, (*world).append, (*world).switchKeys)
		do = append(do, (*world).lookUp, (*world).append, (*world).checkpoint)
	}
	for _, f := range do {
		if err := f(x); err != nil || x.fs.Halted() {
			return err
		}
		x.calm()
		x.w.acked = max(x.w.acked, x.acknowledged())
	}
	return nil
}

// everyNth runs the script with the nth call failed by rule, for every n that it comes to; then the power goes, and what
// was promised must be there.
func everyNth(t *testing.T, f Factory, rule string) {
	t.Helper()
	const most = 2000
	for n := 1; n <= most; n++ {
		x := newWorld(f, 42)
		x.faulty = true
		x.fs.Inject(fmt.Sprintf(rule, n))
		err := script(x)
		calls := 0
		for _, c := range x.fs.Counts() {
			calls += c
		}
		if err != nil && x.p != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		if x.p != nil {
			x.w.acked = max(x.w.acked, x.acknowledged())
		}
		x.crash(uint64(n))
		if err := x.settle(); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		if n > calls {
			return
		}
	}
	t.Fatalf("more than %d calls", most)
}

// fullSeed fills the disk, empties it and goes on, without a restart.
func fullSeed(f Factory, seed uint64) error {
	x := newWorld(f, seed)
	if err := x.start(); err != nil {
		return err
	}
	if err := x.drive(10); err != nil {
		return err
	}
	space, err := x.d.Space()
	if err != nil {
		return err
	}
	total := space.Total
	for range 2 {
		if space, err = x.d.Space(); err != nil {
			return err
		}
		x.fs.SetCapacity(space.Total - space.Free + int64(x.r.IntN(20_000)))
		x.faulty = true
		if err := x.drive(60); err != nil {
			return err
		}
		if err := x.same(); err != nil {
			return fmt.Errorf("while full: %w", err)
		}
		x.fs.SetCapacity(total)
		x.faulty = false
		if err := x.d.Err(); err != nil {
			return fmt.Errorf("a full disk went offline: %w", err)
		}
		before := x.w.end
		if err := x.append(); err != nil {
			return fmt.Errorf("with room again: %w", err)
		}
		if x.w.end == before {
			return errors.New("with room again: nothing appended")
		}
		x.w.startMax = x.w.start
		if err := x.drive(20); err != nil {
			return err
		}
	}
	x.w.acked = max(x.w.acked, x.acknowledged())
	x.crash(seed)
	return x.settle()
}
