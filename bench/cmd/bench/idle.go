package main

import (
	"context"
	"fmt"
	"time"

	"penstock/bench/stat"
)

// What penstock must reach: seconds to the first answer, and resident MiB at rest.
const (
	answerTarget   = 0.3
	residentTarget = 64
)

// idleRow is a row of the report in JSON.
type idleRow struct {
	Who      string      `json:"who"`
	Answer   stat.Spread `json:"first_answer_s"`
	Again    stat.Spread `json:"first_answer_again_s"`
	RSS      stat.Spread `json:"rss_mib"`
	Anon     stat.Spread `json:"anon_mib"`
	CPU      stat.Spread `json:"cpu_percent_of_one"`
	Threads  int         `json:"threads"`
	FDs      int         `json:"fds"`
	Verdicts []verdict   `json:"verdicts,omitempty"`

	answer, again, rss, anon, cpu []float64
}

// idle measures the time from the start of the process to its first answer, and what the broker holds and uses when nobody asks
// for anything.
func idle(ctx context.Context, s *session) error {
	rest := choose(s.short, time.Second, 5*time.Second)
	starts := choose(s.short, 1, 5)
	out := s.report("idle", "who", "first answer s", "on used data s", "RSS MiB", "anonymous MiB", "CPU % of one", "threads", "files open", "targets")
	out.set("first answer: from the start of the process to the answer to an ApiVersions request, asked every millisecond; fresh directory")
	out.set("on used data: stopped and started again with the same directory; at rest: %s after the first answer, no client connected", rest)
	out.set("kafka: one node as broker and controller, formatted beforehand, heap 1 GiB; median (least-most) of %d starts", starts)
	for _, name := range s.names() {
		row := &idleRow{Who: name}
		for i := range starts {
			s.progress("start %d of %d: %s", i+1, starts, name)
			if err := s.rest(ctx, name, rest, row); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		row.Answer, row.Again, row.RSS = stat.Of(row.answer), stat.Of(row.again), stat.Of(row.rss)
		row.Anon, row.CPU = stat.Of(row.anon), stat.Of(row.cpu)
		if name == penstock {
			row.Verdicts = []verdict{
				judge("of a second", row.Answer.Median, answerTarget, true), judge("of a MiB resident", row.RSS.Median, residentTarget, true),
			}
		}
		out.add(row, name, spread(row.Answer, 3), spread(row.Again, 3), spread(row.RSS, 1), spread(row.Anon, 1), spread(row.CPU, 1),
			fmt.Sprint(row.Threads), fmt.Sprint(row.FDs), verdicts(row.Verdicts))
	}
	return out.print(s.out)
}

// rest starts a broker, lets it rest, and starts it again on its data.
func (s *session) rest(ctx context.Context, name string, rest time.Duration, row *idleRow) error {
	const mib = 1 << 20
	c, err := s.launch(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = c.Kill() }()
	if err := c.Answers(ctx); err != nil {
		return err
	}
	row.answer = append(row.answer, time.Since(c.Began()).Seconds())
	time.Sleep(rest / 2)
	used, err := c.cost(func() error { time.Sleep(rest / 2); return nil })
	if err != nil {
		return err
	}
	u, err := c.Usage()
	if err != nil {
		return err
	}
	row.rss, row.anon = append(row.rss, float64(u.RSS)/mib), append(row.anon, float64(u.Anon)/mib)
	row.cpu = append(row.cpu, 100*used.Seconds()/(rest/2).Seconds())
	row.Threads, row.FDs = u.Threads, u.FDs
	if err := c.Stop(); err != nil && name == penstock { // a JVM reports the signal as its status
		return err
	}
	if err := c.Relaunch(); err != nil {
		return err
	}
	if err := c.Answers(ctx); err != nil {
		return err
	}
	row.again = append(row.again, time.Since(c.Began()).Seconds())
	return nil
}
