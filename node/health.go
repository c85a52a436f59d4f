package node

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// check is one thing that must be in order for the node to be ready.
type check struct {
	name string
	ask  func() error // nil when in order; called concurrently, and cheap
}

// health answers /livez and /readyz.
type health struct {
	// mu guards checks.
	mu     sync.Mutex
	checks []check
}

// add appends a check.
func (h *health) add(name string, ask func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, check{name, ask})
}

// result asks all checks and writes a line for each.
func (h *health) result() (lines string, err error) {
	h.mu.Lock()
	checks := h.checks
	h.mu.Unlock()
	var b strings.Builder
	var errs []error
	for _, c := range checks {
		if err := c.ask(); err != nil {
			fmt.Fprintf(&b, "[-] %s: %v\n", c.name, err)
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
			continue
		}
		fmt.Fprintf(&b, "[+] %s\n", c.name)
	}
	return b.String(), errors.Join(errs...)
}

// serveReady answers 200 if all checks are in order, else 503 and those that are not. With ?verbose it lists all.
func (h *health) serveReady(w http.ResponseWriter, r *http.Request) {
	lines, err := h.result()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	word := "ready"
	if err != nil {
		word = "not ready"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if err != nil || r.URL.Query().Has("verbose") {
		fmt.Fprint(w, lines)
	}
	fmt.Fprintln(w, word)
}

// serveLive answers 200 as long as the process answers at all.
func (h *health) serveLive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintln(w, "live")
}
