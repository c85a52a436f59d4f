package group

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// client is a member as it sees itself, in the random test.
type client struct {
	id, instance string
	generation   int32
	assignment   string // of that generation, "" while it has none
	leads        []string
	token        Token // of what it waits for, 0 if nothing
	what         string
}

// world runs a machine with clients that do what clients do, and what they should not, by seed.
type world struct {
	*testing.T
	r       *rand.Rand
	m       *Machine
	now     time.Time
	clients []*client
	token   Token
	open    map[Token]*client // not answered yet; nil for those that nobody waits for
	stores  []uint64          // not durable yet
	made    map[string]int32  // assignment to the generation that its leader made it in
	high    int32             // the highest generation seen
	log     []string
}

// TestRandom runs seeds and checks the machine's invariants after each step:
// every request is answered once; generations only grow; an assignment is of the generation that its member is told of;
// everybody of one generation has the same leader and protocol; and once nobody disturbs it the group becomes stable.
func TestRandom(t *testing.T) {
	seeds := 400
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		w := &world{
			T: t, r: rand.New(rand.NewPCG(uint64(seed), 5)), now: time.UnixMilli(1_700_000_000_000), open: map[Token]*client{}, made: map[string]int32{},
		}
		l := Limits{InitialDelay: time.Duration(w.r.IntN(3)-1) * time.Second}
		w.m = NewMachine(l)
		for range 1 + w.r.IntN(5) {
			w.clients = append(w.clients, &client{})
		}
		for i, c := range w.clients {
			if w.r.IntN(3) == 0 {
				c.instance = fmt.Sprint("i", i)
			}
		}
		for range 300 {
			w.act()
		}
		w.calm()
		if t.Failed() {
			n := max(0, len(w.log)-40)
			t.Fatalf("seed %d:\n%s", seed, fmt.Sprint(w.log[n:]))
		}
	}
}

func (w *world) step(e Event) {
	w.log = append(w.log, fmt.Sprintf("%T%+v\n", e, e))
	for _, f := range slices.Clone(w.m.Step(e, w.now)) {
		switch f := f.(type) {
		case Store:
			w.stores = append(w.stores, f.Number)
		case JoinAnswer:
			if c := w.close(f.Token, "join"); c != nil {
				w.joined(c, &f)
			}
		case SyncAnswer:
			if c := w.close(f.Token, "sync"); c != nil {
				w.synced(c, &f)
			}
		case Answer:
			if c := w.close(f.Token, "beat"); c != nil {
				w.told(c, f.Err)
			}
		case LeaveAnswer:
			w.close(f.Token, "leave")
		}
	}
	w.check()
}

// close takes the answer to a token, and returns who waits for it.
func (w *world) close(t Token, what string) *client {
	c, ok := w.open[t]
	if !ok {
		w.Errorf("%s %d is answered again, or was said to be gone", what, t)
	}
	delete(w.open, t)
	if c != nil && c.token == t {
		c.token = 0
		return c
	}
	return nil
}

func (w *world) joined(c *client, a *JoinAnswer) {
	switch a.Err {
	case nil:
		if a.Generation < c.generation {
			w.Errorf("generation %d after %d", a.Generation, c.generation)
		}
		if a.Generation > w.high {
			w.high = a.Generation
		}
		if a.Generation != w.high || a.Leader == "" || a.Protocol == "" {
			w.Errorf("%+v, the newest generation is %d", a, w.high)
		}
		c.id, c.generation, c.assignment, c.leads = a.MemberID, a.Generation, "", nil
		for _, m := range a.Members {
			c.leads = append(c.leads, m.MemberID)
		}
		if a.SkipAssignment {
			c.leads = nil
		}
	case ErrMemberIDRequired:
		c.id = a.MemberID
	case ErrRebalanceInProgress:
	default:
		c.id, c.generation, c.assignment = "", 0, ""
	}
}

func (w *world) synced(c *client, a *SyncAnswer) {
	if a.Err != nil {
		w.told(c, a.Err)
		return
	}
	if len(a.Assignment) == 0 {
		return // the leader did not know of it
	}
	c.assignment = string(a.Assignment)
	if made := w.made[c.assignment]; made != c.generation {
		w.Errorf("an assignment of generation %d for a member of %d", made, c.generation)
	}
}

func (w *world) told(c *client, err error) {
	switch err {
	case ErrUnknownMember, ErrFencedInstance:
		c.id, c.generation, c.assignment = "", 0, ""
	case ErrIllegalGeneration, ErrRebalanceInProgress:
		c.assignment = ""
	}
}

// check looks at the machine's insides.
func (w *world) check() {
	m := w.m
	if (m.phase == Empty) != (len(m.members) == 0) && m.phase != Preparing {
		w.Errorf("%v with %d members", m.phase, len(m.members))
	}
	if m.generation < w.high {
		w.Errorf("generation %d after %d", m.generation, w.high)
	}
	if len(m.order) != len(m.members) {
		w.Errorf("%d in order, %d members", len(m.order), len(m.members))
	}
	for i, id := range m.static {
		if m.members[id] == nil || m.members[id].instance != i {
			w.Errorf("instance %s is %s", i, id)
		}
	}
	if len(m.members) > 0 && m.members[m.leader] == nil {
		w.Errorf("%s leads and is no member", m.leader)
	}
	waiting := 0
	for _, o := range m.members {
		if o.joining != nil {
			waiting++
			if _, ok := w.open[o.joining.Token]; !ok || m.phase == Completing && o.swap == nil {
				w.Errorf("join %d waits in %v", o.joining.Token, m.phase)
			}
		}
		if o.syncing != nil {
			waiting++
			if _, ok := w.open[o.syncing.Token]; !ok || m.phase != Completing {
				w.Errorf("sync %d waits in %v", o.syncing.Token, m.phase)
			}
		}
		if len(o.assignment) > 0 && (m.phase < Completing || w.made[string(o.assignment)] != m.generation) {
			w.Errorf("assignment of generation %d in %v of %d", w.made[string(o.assignment)], m.phase, m.generation)
		}
	}
	if waiting != len(w.open) {
		w.Errorf("%d wait for an answer, the group knows of %d", len(w.open), waiting)
	}
}

func (w *world) next(c *client, what string) Token {
	w.token++
	w.open[w.token] = c
	if c != nil {
		c.token, c.what = w.token, what
	}
	return w.token
}

func (w *world) join(c *client) {
	j := Join{
		MemberID: c.id, InstanceID: c.instance, NewID: fmt.Sprint("m", w.token), SessionTimeout: 10 * time.Second,
		RebalanceTimeout: time.Duration(1+w.r.IntN(30)) * time.Second, ProtocolType: "consumer",
		Protocols:    []Protocol{{"range", subscription("t")}},
		RequireKnown: w.r.IntN(2) == 0, CanSkip: w.r.IntN(2) == 0,
	}
	if w.r.IntN(2) == 0 {
		j.Protocols = append(j.Protocols, Protocol{"sticky", subscription("t", "u")})
	}
	j.Token = w.next(c, "join")
	w.step(j)
}

func (w *world) sync(c *client) {
	y := Sync{Token: w.next(c, "sync"), MemberID: c.id, InstanceID: c.instance, Generation: c.generation}
	if len(c.leads) > 0 {
		y.Assignment = map[string][]byte{}
		for _, id := range c.leads {
			a := fmt.Sprintf("%s in %d by %d", id, c.generation, y.Token)
			y.Assignment[id], w.made[a] = []byte(a), c.generation
		}
	}
	w.step(y)
}

// act does one thing.
func (w *world) act() {
	c := w.clients[w.r.IntN(len(w.clients))]
	switch n := w.r.IntN(20); {
	case n == 0: // its process is killed and comes back
		if t := c.token; t != 0 {
			c.token = 0
			if w.r.IntN(2) == 0 {
				delete(w.open, t)
				w.step(Gone{t})
			} else {
				w.open[t] = nil // nobody notices
			}
		}
		*c = client{instance: c.instance}
	case n == 1:
		w.step(Leave{Token: w.next(nil, "leave"), Members: []Leaver{{MemberID: c.id, InstanceID: c.instance}}})
	case n < 5:
		w.pass(time.Duration(w.r.IntN(4000)) * time.Millisecond)
	case n < 8:
		w.durable(w.r.IntN(8) == 0)
	case c.token != 0: // it waits
	default:
		w.usual(c, n)
	}
}

// usual is what a well-behaved client does next.
func (w *world) usual(c *client, n int) {
	switch {
	case c.id == "" || c.generation == 0 || n == 19:
		w.join(c)
	case c.assignment == "" && n < 14:
		w.sync(c)
	case n < 12:
		w.step(Check{w.next(c, "beat"), c.id, c.instance, c.generation})
	default:
		t := w.next(c, "beat")
		w.step(Heartbeat{t, c.id, c.instance, c.generation})
		if c.assignment == "" && w.m.phase == Preparing && c.token == 0 {
			w.join(c)
		}
	}
}

func (w *world) durable(fails bool) {
	if len(w.stores) == 0 {
		return
	}
	n := w.stores[0]
	w.stores = w.stores[1:]
	var err error
	if fails {
		err = ErrUnavailable
	}
	w.step(Stored{n, err})
}

func (w *world) pass(d time.Duration) {
	end := w.now.Add(d)
	for range 1000 {
		at, ok := w.m.Wake()
		if !ok || at.After(end) {
			w.now = end
			w.step(Tick{})
			return
		}
		if at.After(w.now) {
			w.now = at
		}
		w.step(Tick{})
	}
	w.Error("the machine wants to be woken for ever")
}

// calm lets all clients behave until the group is stable with all of them.
func (w *world) calm() {
	for range 400 {
		for len(w.stores) > 0 {
			w.durable(false)
		}
		all := w.m.phase == Stable && len(w.m.members) == len(w.clients)
		for _, c := range w.clients {
			all = all && c.assignment != "" && c.generation == w.m.generation
			switch {
			case c.token != 0:
			case c.id == "" || c.generation == 0:
				w.join(c)
			case c.assignment == "" && c.generation == w.m.generation && w.m.phase != Preparing:
				w.sync(c)
			default:
				w.step(Heartbeat{w.next(c, "beat"), c.id, c.instance, c.generation})
				if c.assignment == "" && c.token == 0 {
					w.join(c)
				}
			}
		}
		if all {
			return
		}
		w.pass(time.Second)
	}
	w.Errorf("no stable group of all after a long calm: %v with %d of %d members", w.m.phase, len(w.m.members), len(w.clients))
}
