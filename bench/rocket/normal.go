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
	placeShape = regexp.MustCompile(`(CommitLog Offset: |commitLogOffset=|physicOffset=|storeSize=|physicSize=|@ID@)[0-9]+`) // of a message in the log, and its size there
	countShape = regexp.MustCompile(`( RATE RATE) [1-9][0-9]* [1-9][0-9]*$`)                                                 // of statsAll: over a minute that ends when it pleases
	groupShape = regexp.MustCompile(`^([^ :]+ [0-9]+ .*) [0-9]+ ([0-9]+)$`)                                                  // of consumerProgress for all groups: the last but one is a rate
	propsShape = regexp.MustCompile(`([Pp]roperties)(: |=)\{([^{}]*)\}`)
)

// statusValues are values of brokerStatus that must be the same; the others tell of the machine, of time, or of RocketMQ's own messages.
var statusValues = func() map[string]bool {
	all := map[string]bool{}
	for name := range strings.FieldsSeq(`brokerActive brokerVersionDesc commitLogMinOffset dispatchBehindBytes dispatchMaxBuffer putMessageFailedTimes
		msgPutTotalYesterdayMorning msgPutTotalTodayMorning msgPutTotalTodayNow msgGetTotalYesterdayMorning msgGetTotalTodayMorning msgGetTotalTodayNow
		EndTransactionQueueSize ackThreadPoolQueueSize litePullThreadPoolQueueSize pullThreadPoolQueueSize queryThreadPoolQueueSize sendThreadPoolQueueSize
		startAcceptSendRequestTimeStamp timerCongestNum timerDequeueTps timerEnqueueTps timerOffsetBehind timerReadBehind`) {
		all[name] = true
	}
	return all
}()

// normal turns what a command left into lines that can be compared: which stream, which text, and at last the exit code. Times, ids,
// addresses, rates and places in the log become words, and tables lose their widths. Of brokerStatus the names are compared, and few values.
func (s *side) normal(r compare.Result, st step) []string {
	var out []string
	for _, stream := range []struct{ name, text string }{{"out", r.Out}, {"err", r.Err}} {
		var lines []string
		for _, l := range strings.Split(stream.text, "\n") {
			if l = s.normalLine(l, st); l != "" {
				lines = append(lines, spread(l)...)
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

func (s *side) normalLine(l string, st step) string {
	if atShape.MatchString(l) {
		return ""
	}
	if m := statusLine.FindStringSubmatch(l); m != nil && st.words[0] == "brokerStatus" && !statusValues[m[1]] {
		return strings.ReplaceAll(m[1], s.data, "DIR") + " : VALUE"
	}
	l = s.words.Replace(l)
	l = dateShape.ReplaceAllString(l, "DATE")
	l = timeShape.ReplaceAllString(l, "TIME")
	l = uniqShape.ReplaceAllString(l, "ID")
	l = peerShape.ReplaceAllString(l, "PEER")
	l = hostShape.ReplaceAllString(l, "HOST")
	l = tookShape.ReplaceAllString(l, "N ms")
	l = rateShape.ReplaceAllString(l, "RATE")
	l = strings.TrimSpace(gapShape.ReplaceAllString(l, " "))
	l = placeShape.ReplaceAllString(l, "${1}PLACE")
	switch st.line {
	case "statsAll -t orders":
		l = countShape.ReplaceAllString(l, "$1 COUNT COUNT")
	case "consumerProgress":
		l = groupShape.ReplaceAllString(l, "$1 RATE $2")
	}
	return l
}

// spread gives the properties of a message, which come in the order of a hash table, a line each behind the one that has them.
func spread(l string) []string {
	m := propsShape.FindStringSubmatchIndex(l)
	if m == nil {
		return []string{l}
	}
	out := []string{l[:m[3]] + l[m[1]:]}
	for _, p := range slices.Sorted(strings.SplitSeq(l[m[6]:m[7]], ", ")) {
		out = append(out, "property "+p)
	}
	return out
}
