package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"penstock/bench/compare"
)

// What two runs of the same broker print differently, and what stands for it.
var (
	uuidShape = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	idShape   = regexp.MustCompile(`(TopicId: |Cluster ID: |ClusterId: |topic ID |clusterId=)[A-Za-z0-9_-]{22}`)
	timeShape = regexp.MustCompile(`\b1[789][0-9]{11}\b`)
	dateShape = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}[,.][0-9]{3}`)
	gapShape  = regexp.MustCompile(` {2,}`)
	hashShape = regexp.MustCompile(`@[0-9a-f]{6,8}\b`)
	atShape   = regexp.MustCompile(`^\t(at |\.\.\. [0-9]+ more)`)
	lateShape = regexp.MustCompile(`Call\(callName=.*timed out at .*|Timed out waiting for a node assignment.*`)
	saysShape = regexp.MustCompile(`^(.*(?:Exception: |executing topic command : ))(.+)$`)
	tookShape = regexp.MustCompile(`(\b(?:after|in) |console-consumer-|adminclient-|tries=|Epoch: |correlation id )[0-9]+\b`)
)

// normal turns what a tool left into lines that can be compared: which stream, which text, and at last the exit code. Ids, times,
// addresses and directories become words, tables lose their widths, JSON is laid out with sorted lists; of an
// error what it is stands in one line and what the broker said in another, and where in the tool's code it arose is left out.
func normal(r compare.Result, words *strings.Replacer, unordered bool) []string {
	var out []string
	for _, s := range []struct{ name, text string }{{"out", r.Out}, {"err", r.Err}} {
		var lines []string
		for _, l := range strings.Split(s.text, "\n") {
			lines = append(lines, normalLine(l, words)...)
		}
		if unordered {
			slices.Sort(lines)
		}
		for _, l := range lines {
			out = append(out, s.name+" "+l)
		}
	}
	return append(out, fmt.Sprintf("exit %d", r.Code))
}

func normalLine(l string, words *strings.Replacer) []string {
	l = strings.TrimRight(words.Replace(l), " \t\r")
	if l == "" || atShape.MatchString(l) {
		return nil
	}
	if strings.HasPrefix(l, "{") {
		var v any
		if json.Unmarshal([]byte(l), &v) == nil {
			return layOut(v, "")
		}
	}
	l = idShape.ReplaceAllString(l, "${1}ID")
	l = uuidShape.ReplaceAllString(l, "UUID")
	l = dateShape.ReplaceAllString(l, "DATE")
	l = lateShape.ReplaceAllString(l, "TIMED OUT")
	l = timeShape.ReplaceAllString(l, "TIME")
	l = tookShape.ReplaceAllString(l, "${1}N")
	l = hashShape.ReplaceAllString(l, "@HASH")
	l = gapShape.ReplaceAllString(l, " ")
	if m := saysShape.FindStringSubmatch(l); m != nil {
		return []string{strings.TrimSpace(m[1]), "says " + m[2]}
	}
	return []string{l}
}

// layOut writes JSON a value per line, objects by their keys and lists sorted, each line with the path to its value.
func layOut(v any, path string) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		name := ""
		for _, k := range []string{"topic", "partition", "logDir", "broker"} {
			if n, ok := v[k]; ok {
				switch n.(type) {
				case map[string]any, []any:
				default:
					name += fmt.Sprint("(", n, ")")
				}
			}
		}
		for k, e := range v {
			out = append(out, layOut(e, path+name+"."+k)...)
		}
	case []any:
		if len(v) == 0 {
			out = append(out, path+" = []")
		}
		for _, e := range v {
			out = append(out, layOut(e, path)...)
		}
	default:
		out = append(out, fmt.Sprintf("%s = %v", path, v))
	}
	slices.Sort(out)
	return out
}
