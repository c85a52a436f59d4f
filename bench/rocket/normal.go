package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"penstock/bench/compare"
)

// What two runs of the same broker print differently, and what stands for it.
var (
	dateShape  = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}[T ,#][0-9]{2}:[0-9]{2}:[0-9]{2}([,.:][0-9]{1,3})?`)
	timeShape  = regexp.MustCompile(`\b1[789][0-9]{11}\b`)
	uniqShape  = regexp.MustCompile(`\b[0-9A-F]{32,64}\b`)
	peerShape  = regexp.MustCompile(`/?127\.0\.0\.1:[0-9]+`)
	hostShape  = regexp.MustCompile(`\b[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+\b`)
	tookShape  = regexp.MustCompile(`\b[0-9]+ ?ms\b`)
	gapShape   = regexp.MustCompile(`\s{2,}`)
	rateShape  = regexp.MustCompile(`\b[0-9]+\.[0-9]+(E-?[0-9]+)?\b`)
	atShape    = regexp.MustCompile(`^\s*(at |\.\.\. [0-9]+ more)`)
	statusLine = regexp.MustCompile(`^([A-Za-z0-9_/.-]+) *:( .*)?$`)
)

// statusValues are values of brokerStatus that must be the same.
var statusValues = map[string]bool{"brokerActive": true, "commitLogMinOffset": true, "dispatchBehindBytes": true}

// normal turns what a command left into lines that can be compared: which stream, which text, and at last the exit code. Times, ids,
// addresses and rates become words, and tables lose their widths. Of brokerStatus and of statsAll the names are compared, and few values.
func (s *side) normal(r compare.Result, st step) []string {
	var out []string
	for _, stream := range []struct{ name, text string }{{"out", r.Out}, {"err", r.Err}} {
		var lines []string
		for _, l := range strings.Split(stream.text, "\n") {
			if l = s.normalLine(l, st.words[0]); l != "" {
				lines = append(lines, l)
			}
		}
		if st.unordered {
			slices.Sort(lines)
		}
		for _, l := range lines {
			out = append(out, stream.name+" "+l)
		}
	}
	return append(out, fmt.Sprintf("exit %d", r.Code))
}

func (s *side) normalLine(l, command string) string {
	if atShape.MatchString(l) {
		return ""
	}
	if m := statusLine.FindStringSubmatch(l); m != nil && command == "brokerStatus" && !statusValues[m[1]] {
		return strings.ReplaceAll(m[1], s.dir(), "DIR") + " : VALUE"
	}
	l = s.words.Replace(l)
	l = dateShape.ReplaceAllString(l, "DATE")
	l = timeShape.ReplaceAllString(l, "TIME")
	l = uniqShape.ReplaceAllString(l, "ID")
	l = peerShape.ReplaceAllString(l, "PEER")
	l = hostShape.ReplaceAllString(l, "HOST")
	l = tookShape.ReplaceAllString(l, "N ms")
	l = rateShape.ReplaceAllString(l, "RATE")
	return strings.TrimSpace(gapShape.ReplaceAllString(l, " "))
}

// dir is where the broker keeps its data, as it may print it.
func (s *side) dir() string { return s.data }
