package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"penstock/cli"
	"penstock/metric"
)

// mostBody bounds an answer of the admin listener.
const mostBody = 16 << 20

// page is an answer of the admin listener.
type page struct {
	status int
	body   []byte
	date   time.Time // by the broker's clock, cut to the second; zero: it did not say
	sent   time.Time // when the question left, by our clock
	took   time.Duration
}

// get asks the admin listener.
func (d *doctor) get(ctx context.Context, path string) (*page, error) {
	ctx, cancel := d.step(ctx)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.http+path, nil)
	if err != nil {
		return nil, err
	}
	// No proxy, no kept connection, and no going elsewhere: what answers here is looked at.
	c := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	p := &page{sent: time.Now()}
	r, err := c.Do(q)
	if err != nil {
		return nil, err
	}
	p.took = time.Since(p.sent)
	defer func() { _ = r.Body.Close() }() // what is of use has been read
	p.status = r.StatusCode
	if p.body, err = io.ReadAll(io.LimitReader(r.Body, mostBody+1)); err != nil {
		return nil, err
	}
	if len(p.body) > mostBody {
		return nil, fmt.Errorf("answers more than %s", cli.Bytes(mostBody))
	}
	if t, err := http.ParseTime(r.Header.Get("Date")); err == nil {
		p.date = t
	}
	return p, nil
}

// admin looks at a Penstock broker's admin listener, if there is one.
func (d *doctor) admin(ctx context.Context) []Finding {
	p, err := d.get(ctx, "/readyz?verbose")
	if err != nil {
		return []Finding{d.noAdmin(err)}
	}
	if !isReadyPage(p) {
		return []Finding{d.noAdmin(fmt.Errorf("what answers at %s is no Penstock broker", d.http))}
	}
	fs := []Finding{judgeReady(d.http, p.status, string(p.body)), judgeClock(p.date, p.sent, p.took)}
	p, err = d.get(ctx, "/api/copies")
	var account struct {
		Lines []metric.CopyLine `json:"lines"`
	}
	if err == nil && p.status != http.StatusOK {
		err = fmt.Errorf("/api/copies answers %d", p.status)
	}
	if err == nil {
		err = json.Unmarshal(p.body, &account)
	}
	if err != nil {
		return append(fs, unmeasured(checkCopies, err))
	}
	return append(fs, judgeCopies(account.Lines))
}

// isReadyPage tells the answer of /readyz from that of another program.
func isReadyPage(p *page) bool {
	return (p.status == http.StatusOK || p.status == http.StatusServiceUnavailable) && strings.HasSuffix(strings.TrimSpace(string(p.body)), "ready")
}

// noAdmin is the finding when there is no admin listener: bad only if the user named it.
func (d *doctor) noAdmin(err error) Finding {
	if !d.named {
		return note(checkReady, "no admin listener of Penstock at %s; --http names it", d.http)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer at %s within %v", d.http, d.wait)
	}
	return Finding{Check: checkReady, Severity: Error, What: "the admin listener does not answer: " + err.Error(),
		Why: "Metrics and health are not there for who watches the broker.", Do: "Start the broker, or name its http.listen address by --http."}
}

// judgeReady looks at /readyz?verbose: lines that begin with [+] or [-].
func judgeReady(addr string, status int, body string) Finding {
	if status == http.StatusOK {
		return good(checkReady, "the broker at %s is ready", addr)
	}
	var bad []string
	for l := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(l), "[-] "); ok {
			bad = append(bad, rest)
		}
	}
	return Finding{Check: checkReady, Severity: Error, What: fmt.Sprintf("the broker at %s is not ready: %s", addr, strings.Join(bad, "; ")),
		Why: "It is starting, or a part of it has failed.", Do: "Wait if it starts; else its log says more, and a failed disk needs a look before a restart."}
}

// The differences of clocks that count. The broker's time is told in whole seconds.
const (
	clockWarning = 2 * time.Second
	clockError   = 30 * time.Second
)

// judgeClock compares the broker's time with ours, half way between question and answer.
func judgeClock(date, sent time.Time, took time.Duration) Finding {
	if date.IsZero() {
		return note(checkClock, "not looked at: the broker does not tell its time")
	}
	diff := date.Add(time.Second / 2).Sub(sent.Add(took / 2))
	f := Finding{Check: checkClock, What: fmt.Sprintf("the broker's clock is %.1f s away from this machine's", diff.Seconds()),
		Why: "Timestamps decide what is deleted when and where reading by time begins; logs of two machines cannot be compared.",
		Do:  "Run chrony or another NTP client on both machines."}
	// What is left after the uncertainty of half a second and of the way.
	switch sure := diff.Abs() - time.Second/2 - took/2; {
	case sure > clockError:
		f.Severity = Error
	case sure > clockWarning:
		f.Severity = Warning
	default:
		return good(checkClock, "the clocks differ by less than %.1f s", (diff.Abs() + time.Second/2 + took/2).Seconds())
	}
	return f
}

// The share and the amount of payload through the process from which on it is worth a word.
const (
	copiedShare = 0.1
	copiedBytes = 64 << 20
)

// remedies say what to do about a reason of the copy account. What is small is copied on purpose.
var remedies = map[string]string{
	"tls":       "Encryption takes the bytes through the process. Where the network is trusted use a plaintext listener.",
	"converted": "Clients of one protocol read topics of the other. Let them use a topic in their own format.",
	"nofile":    "The data directory's file system keeps the bytes out of the kernel's reach. Use ext4 or xfs.",
}

// judgeCopies looks at which payload went through the process, and why.
func judgeCopies(lines []metric.CopyLine) Finding {
	by, total, copied, worst := map[string]int64{}, int64(0), int64(0), ""
	for _, l := range lines {
		total += l.Bytes
		name := l.Path
		if l.Reason != "" {
			name += " (" + l.Reason + ")"
		}
		by[name] += l.Bytes
		if remedies[l.Reason] != "" {
			copied += l.Bytes
			if worst == "" || by["copied ("+l.Reason+")"] > by["copied ("+worst+")"] {
				worst = l.Reason
			}
		}
	}
	if total == 0 {
		return good(checkCopies, "no payload has left the broker yet")
	}
	var names, shares []string
	for n := range by {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		if by[a] != by[b] {
			return int(max(-1, min(1, by[b]-by[a])))
		}
		return strings.Compare(a, b)
	})
	for _, n := range names {
		shares = append(shares, fmt.Sprintf("%.1f %% %s", 100*float64(by[n])/float64(total), n))
	}
	what := fmt.Sprintf("%s left the broker: %s", cli.Bytes(total), strings.Join(shares, ", "))
	if copied < copiedBytes || float64(copied) < copiedShare*float64(total) {
		return good(checkCopies, "%s", what)
	}
	return Finding{Check: checkCopies, Severity: Warning, What: what, Why: "Payload that goes through the process costs several times the processor time.", Do: remedies[worst]}
}
