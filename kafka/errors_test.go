package kafka

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"penstock"
)

// TestErrorTableIsComplete finds every error of the vocabulary in its source and demands that the table names it. The
// errors' texts are the link, for a value cannot be found by its name.
func TestErrorTableIsComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	mapped := map[string]bool{}
	for _, row := range errorTable {
		mapped[row.err.Error()] = true
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING || lit.Value == `"errors"` {
			return true
		}
		found++
		text, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		if !mapped[text] {
			t.Errorf("the error %q has no code", text)
		}
		return true
	})
	if found < 20 {
		t.Errorf("only %d errors found in the source", found)
	}
}

func TestCodeOf(t *testing.T) {
	for _, row := range errorTable {
		if got := codeOf(fmt.Errorf("topic x: %w", row.err)); got != row.code {
			t.Errorf("%v: code %d, want %d", row.err, got, row.code)
		}
	}
	if codeOf(nil) != codeNone || codeOf(errors.New("else")) != codeUnknownServerError {
		t.Error("no error, or an unknown one")
	}
	// KIP-853 and the producer's documentation: a full or failed disk is retried elsewhere or later.
	for _, err := range []error{penstock.ErrDiskFull, penstock.ErrOffline, penstock.ErrUnavailable, penstock.ErrClosed, penstock.ErrNotEnoughReplicas, penstock.ErrFewerReplicas} {
		if !kerr.IsRetriable(kerr.ErrorForCode(int16(codeOf(err)))) {
			t.Errorf("%v is told as %v, which clients do not retry", err, kerr.ErrorForCode(int16(codeOf(err))))
		}
	}
}

// TestCodesHaveKafkasNumbers compares the constants with the protocol's list, by the names in the source.
func TestCodesHaveKafkasNumbers(t *testing.T) {
	src, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	// Names that are shortened here.
	full := map[string]string{
		"invalidtopic": "invalidtopicexception", "coordinatorloading": "coordinatorloadinprogress",
		"clusterauthorization": "clusterauthorizationfailed", "topicexists": "topicalreadyexists",
		"unsupportedformat": "unsupportedformessageformat", "outofordersequence": "outofordersequencenumber",
		"duplicatesequence": "duplicatesequencenumber", "storageerror": "kafkastorageerror",
		"fetchsessionnotfound": "fetchsessionidnotfound", "fetchsessiontopicid": "fetchsessiontopiciderror",
		"unsupportedcompression": "unsupportedcompressiontype", "notenoughafterappend": "notenoughreplicasafterappend", "notleaderorfollower": "notleaderforpartition",
	}
	rows := regexp.MustCompile(`(?m)^\tcode(\w+)\s+code = (-?\d+)$`).FindAllStringSubmatch(string(src), -1)
	if len(rows) < 30 {
		t.Fatalf("%d codes found", len(rows))
	}
	for _, row := range rows {
		name := strings.ToLower(row[1])
		if name == "none" {
			continue
		}
		if full[name] != "" {
			name = full[name]
		}
		n, _ := strconv.Atoi(row[2])
		var e *kerr.Error
		if !errors.As(kerr.ErrorForCode(int16(n)), &e) {
			t.Errorf("%s: %d is no code", row[1], n)
			continue
		}
		if label := code(n).String(); label != e.Message && n != 6 {
			t.Errorf("%d is called %s, not %s", n, label, e.Message)
		}
		if want := strings.ToLower(strings.ReplaceAll(e.Message, "_", "")); name != want {
			t.Errorf("%s = %d, which is %s", row[1], n, e.Message)
		}
	}
}
