package doctor

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// each calls f for 0 to n-1, several at a time, and gathers what they find in order.
func each(n int, f func(i int) []Finding) []Finding {
	all := make([][]Finding, n)
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			all[i] = f(i)
			<-slots
		})
	}
	wg.Wait()
	return slices.Concat(all...)
}

// bootstrap asks each address of --brokers, and reports whether one of them is a broker.
func (d *doctor) bootstrap(ctx context.Context) (fs []Finding, answers bool) {
	fs = each(min(len(d.e.Brokers), mostBrokers), func(i int) []Finding {
		host, port := split(d.e.Brokers[i], defaultPort)
		addr := net.JoinHostPort(host, port)
		ctx, cancel := d.step(ctx)
		defer cancel()
		return []Finding{judgeAnswer(checkBootstrap, "a broker", addr, probe(ctx, addr))}
	})
	return fs, slices.ContainsFunc(fs, func(f Finding) bool { return f.Severity == OK })
}

// cluster looks at a cluster as its clients see it.
func (d *doctor) cluster(ctx context.Context) []Finding {
	cl, err := d.e.Client()
	if err != nil {
		return []Finding{unmeasured(checkAdvertised, err)}
	}
	defer cl.Close()
	a := kadm.NewClient(cl)
	asked, cancel := d.step(ctx)
	defer cancel()
	m, err := a.Metadata(asked)
	if err != nil {
		return []Finding{{Check: checkAdvertised, Severity: Error, What: "the brokers do not tell about themselves: " + err.Error(),
			Why: "Clients ask for the cluster's brokers and partitions first.", Do: "Look into the brokers' logs."}}
	}
	fs := d.advertised(ctx, m)
	fs = append(fs, d.versions(ctx, a)...)
	return append(fs, judgePartitions(m.Topics))
}

// advertised goes where each broker sends its clients.
func (d *doctor) advertised(ctx context.Context, m kadm.Metadata) []Finding {
	remote, known := d.bootstrapAddresses(ctx)
	return each(min(len(m.Brokers), mostBrokers), func(i int) []Finding {
		b := m.Brokers[i]
		who, addr := fmt.Sprintf("broker %d", b.NodeID), net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		ips := d.lookup(ctx, b.Host)
		if f, bad := judgeAdvertised(who, addr, b.Host, ips, remote); bad {
			return []Finding{f}
		}
		step, cancel := d.step(ctx)
		defer cancel()
		f := judgeAnswer(checkAdvertised, who, addr, probe(step, addr))
		if f.Severity != OK {
			f.Why = "Clients connect to the advertised address, not to the one that they were configured with."
			f.Do += " On the broker, advertise names the address."
			return []Finding{f}
		}
		id, err := d.clusterAt(ctx, addr)
		if err != nil {
			return []Finding{unmeasured(checkAdvertised, err)}
		}
		if len(m.Brokers) == 1 {
			f = judgeWay(who, addr, ips, known, f)
		}
		return []Finding{judgeCluster(who, addr, m.Cluster, id, f)}
	})
}

// bootstrapAddresses are the addresses of --brokers, and the first of them that is no loopback address.
func (d *doctor) bootstrapAddresses(ctx context.Context) (remote string, all []net.IP) {
	for _, addr := range d.e.Brokers {
		host, _ := split(addr, defaultPort)
		ips := d.lookup(ctx, host)
		if remote == "" && len(ips) > 0 && !slices.ContainsFunc(ips, net.IP.IsLoopback) {
			remote = addr
		}
		all = append(all, ips...)
	}
	return remote, all
}

// judgeWay compares where the only broker sends its clients with where it was found. It answers there, so found is good; but
// clients elsewhere may reach the one and not the other.
func judgeWay(who, addr string, ips, known []net.IP, found Finding) Finding {
	same := slices.ContainsFunc(ips, func(ip net.IP) bool { return slices.ContainsFunc(known, ip.Equal) })
	if same || len(ips) == 0 || len(known) == 0 {
		return found
	}
	return note(checkAdvertised, "%s answers at %s as well, another machine's address than --brokers: clients must reach it", who, addr)
}

// judgeAdvertised looks at an address that no client could use. remote is a bootstrap address that is not loopback, or "".
func judgeAdvertised(who, addr, host string, ips []net.IP, remote string) (f Finding, bad bool) {
	f = Finding{Check: checkAdvertised, Why: "Clients connect to the advertised address, not to the one that they were configured with."}
	ip := net.ParseIP(host)
	switch {
	case host == "" || ip != nil && ip.IsUnspecified():
		f.Severity, f.What = Error, fmt.Sprintf("%s advertises %s, which is no address to connect to", who, addr)
		f.Do = "Set advertise on the broker to a name or address that clients reach."
	case remote != "" && slices.ContainsFunc(ips, net.IP.IsLoopback):
		f.Severity, f.What = Warning, fmt.Sprintf("%s advertises %s, which is each client's own machine; it was found at %s", who, addr, remote)
		f.Do = "Set advertise on the broker to a name or address that clients on other machines reach."
	default:
		return f, false
	}
	return f, true
}

// judgeCluster compares the cluster that was asked with the one that answers at an advertised address. found is the finding
// when they are the same.
func judgeCluster(who, addr, want, got string, found Finding) Finding {
	if want == got || want == "" || got == "" {
		return found
	}
	return Finding{Check: checkAdvertised, Severity: Error, What: fmt.Sprintf("%s advertises %s, where cluster %s answers instead of %s", who, addr, got, want),
		Why: "Clients read from and write to a cluster that they were not sent to.",
		Do:  "Set advertise on the broker to its own address, and look who has that one."}
}

// clusterAt is the id of the cluster that answers at one address.
func (d *doctor) clusterAt(ctx context.Context, addr string) (string, error) {
	cl, err := d.e.Client(kgo.SeedBrokers(addr))
	if err != nil {
		return "", err
	}
	defer cl.Close()
	ctx, cancel := d.step(ctx)
	defer cancel()
	q := kmsg.NewPtrMetadataRequest()
	q.Topics = []kmsg.MetadataRequestTopic{}
	r, err := q.RequestWith(ctx, cl.SeedBrokers()[0])
	if err != nil {
		return "", fmt.Errorf("%s does not tell its cluster: %w", addr, err)
	}
	if r.ClusterID == nil {
		return "", nil
	}
	return *r.ClusterID, nil
}

// needed are the APIs without which usual clients do not work.
var needed = []struct {
	key  int16
	what string
}{
	{kmsg.Produce.Int16(), "Produce"}, {kmsg.Fetch.Int16(), "Fetch"}, {kmsg.ListOffsets.Int16(), "ListOffsets"}, {kmsg.Metadata.Int16(), "Metadata"},
	{kmsg.FindCoordinator.Int16(), "FindCoordinator"}, {kmsg.JoinGroup.Int16(), "JoinGroup"}, {kmsg.OffsetCommit.Int16(), "OffsetCommit"},
	{kmsg.InitProducerID.Int16(), "InitProducerId"},
}

// versions asks each broker what it speaks.
func (d *doctor) versions(ctx context.Context, a *kadm.Client) []Finding {
	ctx, cancel := d.step(ctx)
	defer cancel()
	all, err := a.ApiVersions(ctx)
	if err != nil {
		return []Finding{unmeasured(checkVersions, err)}
	}
	var fs []Finding
	guess := map[string]bool{}
	for _, v := range all.Sorted() {
		if v.Err != nil {
			fs = append(fs, unmeasured(checkVersions, fmt.Errorf("broker %d: %w", v.NodeID, v.Err)))
			continue
		}
		guess[v.VersionGuess()] = true
		serves := map[int16]int16{}
		v.EachKeySorted(func(key, _, most int16) { serves[key] = most })
		fs = append(fs, judgeVersions(v.NodeID, v.VersionGuess(), serves))
	}
	if len(guess) > 1 {
		fs = append(fs, Finding{Check: checkVersions, Severity: Warning, What: fmt.Sprintf("the brokers speak %d different sets of versions", len(guess)),
			Why: "What clients may use changes with the broker that they reach.", Do: "Finish the upgrade that is under way."})
	}
	return fs
}

// judgeVersions looks at the APIs that a broker serves, by key the highest version. guess is the release of Kafka that serves
// the same, if there is one.
func judgeVersions(node int32, guess string, serves map[int16]int16) Finding {
	var missing []string
	for _, n := range needed {
		if _, ok := serves[n.key]; !ok {
			missing = append(missing, n.what)
		}
	}
	if len(missing) == 0 {
		what := fmt.Sprintf("broker %d serves %d APIs of Kafka's protocol, Fetch up to version %d", node, len(serves), serves[kmsg.Fetch.Int16()])
		if strings.HasPrefix(guess, "v") {
			what += ": Kafka " + guess
		}
		return good(checkVersions, "%s", what)
	}
	return Finding{Check: checkVersions, Severity: Warning, What: fmt.Sprintf("broker %d does not serve %s", node, strings.Join(missing, ", ")),
		Why: "Clients that use groups or idempotence, as most do by default, fail.", Do: "Upgrade the broker, or switch those features off in the clients."}
}

// mostNamed bounds the partitions that a finding names.
const mostNamed = 5

// judgePartitions looks for partitions that nobody serves, or whose copies are behind.
func judgePartitions(topics kadm.TopicDetails) Finding {
	var total int
	var down, behind []string
	for _, t := range topics.Sorted() {
		for _, p := range t.Partitions.Sorted() {
			total++
			name := fmt.Sprintf("%s-%d", p.Topic, p.Partition)
			switch {
			case p.Leader < 0 || p.Err != nil && len(p.Replicas) == 0:
				down = append(down, name)
			case len(p.ISR) < len(p.Replicas):
				behind = append(behind, name)
			}
		}
	}
	f := Finding{Check: checkPartitions}
	switch {
	case len(down) > 0:
		f.Severity, f.What = Error, fmt.Sprintf("%d of %d partitions have no leader: %s", len(down), total, some(down))
		f.Why = "They can be neither written nor read."
		f.Do = "Start the brokers that hold them."
	case len(behind) > 0:
		f.Severity, f.What = Warning, fmt.Sprintf("%d of %d partitions have replicas that are behind: %s", len(behind), total, some(behind))
		f.Why = "The loss of one more broker may stop or lose them."
		f.Do = "Start the brokers that are missing, or wait until they have caught up."
	default:
		return good(checkPartitions, "all %d partitions of %d topics have a leader and all their replicas", total, len(topics))
	}
	return f
}

// some joins the first names.
func some(names []string) string {
	if len(names) <= mostNamed {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:mostNamed], ", ") + ", …"
}
