package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"penstock/metric"
)

// Limits of the HTTP listener. A profile takes as long as it is asked for, so writing has none.
const (
	httpHeaderTime = 10 * time.Second
	httpIdle       = 2 * time.Minute
	httpHeader     = 16 << 10
	scrapes        = 4 // at once
)

// admin is the HTTP listener: metrics, health, the copy account, profiles.
type admin struct {
	server  *http.Server
	log     *slog.Logger
	metrics atomic.Pointer[http.Handler] // nil until show
	took    atomic.Uint64                // bytes allocated during scrapes
	finder  atomic.Pointer[finder]       // nil until there is something to look into
}

// serveProfiles decides by http.profiles whether profiles are served on a host: auto is where nobody else can reach them.
func serveProfiles(key, host string) bool { return key == "on" || key == "auto" && loopback(host) }

// newAdmin makes the listener's handlers. profiles says whether the program's own state may be looked into.
func newAdmin(h *health, account *metric.CopyAccount, profiles bool, log *slog.Logger) *admin {
	a := &admin{log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", h.serveLive)
	mux.HandleFunc("GET /readyz", h.serveReady)
	mux.HandleFunc("GET /metrics", a.serveMetrics)
	mux.HandleFunc("GET /api/copies", func(w http.ResponseWriter, _ *http.Request) { serveCopies(w, account) })
	mux.HandleFunc("GET /api/find", a.serveFind)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "penstock: /livez /readyz?verbose /metrics /api/copies /api/find")
	})
	if profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	a.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: httpHeaderTime, IdleTimeout: httpIdle, MaxHeaderBytes: httpHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return a
}

// show begins to answer /metrics.
func (a *admin) show(g prometheus.Gatherer) {
	h := promhttp.HandlerFor(g, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapes, ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	})
	a.metrics.Store(&h)
}

func (a *admin) serveMetrics(w http.ResponseWriter, r *http.Request) {
	h := a.metrics.Load()
	if h == nil {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	before := allocated()
	(*h).ServeHTTP(w, r)
	a.took.Add(allocated() - before) // and what others allocated meanwhile
}

// scraped is how many bytes scrapes have allocated, about; none where there is no listener.
func (a *admin) scraped() uint64 {
	if a == nil {
		return 0
	}
	return a.took.Load()
}

// serve accepts until stop.
func (a *admin) serve(ln net.Listener) {
	if err := a.server.Serve(ln); err != nil && err != http.ErrServerClosed {
		a.log.Error("HTTP listener failed; metrics and health are not served any more", "error", err)
	}
}

// stop closes the listener; answers under way get until ctx ends.
func (a *admin) stop(ctx context.Context) error {
	if err := a.server.Shutdown(ctx); err != nil {
		return a.server.Close()
	}
	return nil
}

// Copies is the answer of /api/copies.
type Copies struct {
	Lines []metric.CopyLine `json:"lines"`
}

// serveCopies shows the copy account, sorted.
func serveCopies(w http.ResponseWriter, account *metric.CopyAccount) {
	lines := account.Lines()
	slices.SortFunc(lines, func(a, b metric.CopyLine) int {
		return strings.Compare(a.Listener+"\x00"+a.Topic+"\x00"+a.Path+"\x00"+a.Reason, b.Listener+"\x00"+b.Topic+"\x00"+b.Path+"\x00"+b.Reason)
	})
	if lines == nil {
		lines = []metric.CopyLine{}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(Copies{lines}) // the client is gone
}
