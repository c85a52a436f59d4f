package lab

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// inLab is the argument that makes the test binary stand in for a program that uses the package.
const inLab = "-in-lab"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == inLab {
		os.Exit(program())
	}
	os.Exit(m.Run())
}

// program prints the congestion control and the interfaces that it sees in the lab, and exits with 7.
func program() int {
	if !Inside() {
		code, err := Enter()
		if err != nil {
			os.Stdout.WriteString("outside: " + err.Error())
			return 0
		}
		return code
	}
	if err := Furnish(); err != nil {
		os.Stdout.WriteString("outside: " + err.Error())
		return 1
	}
	name, err := Congestion()
	if err != nil {
		return 1
	}
	os.Stdout.WriteString("inside: " + name)
	return 7
}

func TestLab(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", inLab)
	out, err := cmd.CombinedOutput()
	switch text := string(out); {
	case strings.HasPrefix(text, "inside: "):
		if text != "inside: "+wanted {
			t.Errorf("got %q", text)
		}
		if code := cmd.ProcessState.ExitCode(); code != 7 {
			t.Errorf("exit status %d, want the inner one, 7", code)
		}
	case strings.HasPrefix(text, "outside: ") && os.Geteuid() != 0:
		if err != nil || !strings.Contains(text, "root") {
			t.Errorf("without root: %q, %v", text, err)
		}
	case strings.HasPrefix(text, "outside: "):
		t.Logf("no lab on this machine: %s", text)
	default:
		t.Errorf("got %q, %v", text, err)
	}
}

func TestCongestion(t *testing.T) {
	name, err := Congestion()
	if err != nil || name == "" || strings.ContainsRune(name, 0) {
		t.Errorf("got %q, %v", name, err)
	}
}
