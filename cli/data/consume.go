package data

import (
	"context"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
)

// consumeFlags are the flags of consume.
type consumeFlags struct {
	from, until, format, null, group string
	count                            int64
	exit, regex, committed           bool
	partitions                       []int32

	patterns []*regexp.Regexp // of the arguments, with regex
	begin    place
	stop     *place // nil: never
}

func newConsume(e *cli.Env) *cobra.Command {
	f := &consumeFlags{}
	c := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Print records, and follow what comes",
		Long: `Prints the records of topics and goes on as more arrive, until it is interrupted, --count is reached, or every partition
is read to --until or, with --exit, to where it ended at the start. Only records go to standard output.

A place (--from, --until) is one of ` + placeForms + `.

A format (-f) contains ` + verbs + `. With -o json each record is a line of JSON, as penstock produce --json takes.

With --group it reads as a member, begins where the group stands (--from counts where that is nowhere), and commits what it
has printed.`,
		Example: `  penstock consume orders --exit
  penstock consume orders --from -10 -f '%p:%o\t%k\t%s\n'
  penstock consume orders --from 2026-01-02 --until 2026-01-03 -o json
  penstock consume 'orders\..*' --regex --group audit`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: e.CompleteTopics(),
		RunE:              func(c *cobra.Command, args []string) error { return consume(c.Context(), e, f, args) },
	}
	fl := c.Flags()
	fl.StringVar(&f.from, "from", "start", "`place` to begin at")
	fl.StringVar(&f.until, "until", "", "`place` to stop before")
	fl.BoolVarP(&f.exit, "exit", "e", false, "stop at the end, as --until end")
	fl.Int64VarP(&f.count, "count", "n", 0, "stop after that `number` of records; 0: never")
	fl.StringVarP(&f.format, "format", "f", `%s\n`, "how a record is printed")
	fl.StringVar(&f.null, "null", "", "`text` printed for null")
	fl.Int32SliceVarP(&f.partitions, "partition", "p", nil, "read these `partitions` only")
	fl.StringVarP(&f.group, "group", "g", "", "read as a member of that `group`, and commit")
	fl.BoolVarP(&f.regex, "regex", "r", false, "topics are regular expressions that match whole names")
	fl.BoolVar(&f.committed, "read-committed", false, "pass over open and aborted transactions")
	complete(c, "group", cobra.CompletionFunc(e.CompleteGroups()))
	return c
}

// check reads the values of the flags.
func (f *consumeFlags) check(topics []string, now time.Time) (err error) {
	switch {
	case f.exit && f.until != "":
		return cli.Usage("--exit and --until: one place to stop at")
	case f.group != "" && len(f.partitions) > 0:
		return cli.Usage("--group and --partition: a group deals out the partitions itself")
	case f.count < 0:
		return cli.Usage("--count %d: want 1 or more, or 0 for no limit", f.count)
	}
	if f.begin, err = parsePlace("from", f.from, now); err != nil {
		return err
	}
	if f.exit {
		f.stop = &place{kind: atEnd}
	}
	if f.until != "" {
		stop, err := parsePlace("until", f.until, now)
		if err != nil {
			return err
		}
		f.stop = &stop
	}
	f.patterns = nil
	for _, t := range topics {
		if !f.regex {
			break
		}
		p, err := regexp.Compile("^(?:" + t + ")$")
		if err != nil {
			return cli.Usage("%s is no regular expression: %v", t, err)
		}
		f.patterns = append(f.patterns, p)
	}
	return nil
}

func consume(ctx context.Context, e *cli.Env, f *consumeFlags, topics []string) error {
	if err := f.check(topics, time.Now()); err != nil {
		return err
	}
	form, err := f.form(e)
	if err != nil {
		return err
	}
	r := &reader{e: e, f: f, topics: topics, out: newPrinter(e.Stdout(), form), parts: map[part]*progress{}}
	return r.run(ctx)
}

// form is how records are printed.
func (f *consumeFlags) form(e *cli.Env) (func([]byte, *kgo.Record) ([]byte, error), error) {
	if e.JSON() {
		return appendLine, nil
	}
	form, err := parseFormat(f.format, f.null)
	if err != nil {
		return nil, err
	}
	form.screen = terminal(e.Stdout())
	return func(dst []byte, r *kgo.Record) ([]byte, error) { return form.append(dst, r), nil }, nil
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// printer writes records. What was printed is out when flush returns nil.
type printer struct {
	out  io.Writer
	form func([]byte, *kgo.Record) ([]byte, error)
	buf  []byte
}

// printBuffer is how much is gathered before it is written.
const printBuffer = 64 << 10

func newPrinter(out io.Writer, form func([]byte, *kgo.Record) ([]byte, error)) *printer {
	return &printer{out: out, form: form}
}

func (p *printer) print(r *kgo.Record) error {
	var err error
	if p.buf, err = p.form(p.buf, r); err != nil {
		return err
	}
	if len(p.buf) < printBuffer {
		return nil
	}
	return p.flush()
}

func (p *printer) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	_, err := p.out.Write(p.buf)
	if p.buf = p.buf[:0]; cap(p.buf) > 16*printBuffer {
		p.buf = nil
	}
	return err
}
