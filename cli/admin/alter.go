package admin

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"penstock/cli"
)

// edits are changes of configuration as a person asks for them.
type edits struct {
	set, add, subtract []pair
	unset              []string
	force              bool // also keys that the cluster does not describe
}

func (o *edits) empty() bool { return len(o.set)+len(o.add)+len(o.subtract)+len(o.unset) == 0 }

// editView is one change of configuration.
type editView struct {
	Key    string  `json:"key"`
	Change string  `json:"change"` // set, unset, append or subtract
	Before *string `json:"before"`
	After  *string `json:"after"` // null: not known, or hidden
	hidden bool
}

// plan turns edits into what is asked of the cluster and what is shown. d is the configuration before.
func (o *edits) plan(r resource, d *described, known []string) ([]kadm.AlterConfig, []editView, error) {
	var changes []kadm.AlterConfig
	views := []editView{}
	seen := map[string]bool{}
	add := func(key, change string, op kadm.IncrementalOp, value *string) error {
		if seen[key] {
			return cli.Usage("%s would be changed twice", key)
		}
		seen[key] = true
		if !o.force && len(known) > 0 && !slices.Contains(known, key) {
			return cli.Usage("%s has no configuration %s. %s --force asks the cluster all the same", r, key,
				didYouMean(key, known, "penstock config get "+r.String()+" --all lists what it has;"))
		}
		changes = append(changes, kadm.AlterConfig{Op: op, Name: key, Value: value})
		views = append(views, foresee(r, d.find(key), key, change, value))
		return nil
	}
	for _, of := range []struct {
		pairs  []pair
		change string
		op     kadm.IncrementalOp
	}{{o.set, "set", kadm.SetConfig}, {o.add, "append", kadm.AppendConfig}, {o.subtract, "subtract", kadm.SubtractConfig}} {
		for _, p := range of.pairs {
			if err := add(p.key, of.change, of.op, &p.value); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, key := range o.unset {
		if err := add(key, "unset", kadm.DeleteConfig, nil); err != nil {
			return nil, nil, err
		}
	}
	return changes, views, nil
}

// foresee says what a change makes of a configuration; now is nil for one that is not described.
func foresee(r resource, now *configView, key, change string, value *string) editView {
	v := editView{Key: key, Change: change, After: value}
	if now == nil {
		return v
	}
	v.Before, v.hidden = now.Value, now.Sensitive
	var list []string
	if now.Value != nil && *now.Value != "" {
		list = strings.Split(*now.Value, ",")
	}
	switch {
	case now.Sensitive:
		v.After = nil
	case change == "unset":
		for _, l := range now.Layers {
			if !r.own(l.Source) {
				v.After = l.as(key)
				break
			}
		}
	case change == "append":
		for _, w := range strings.Split(*value, ",") {
			if !slices.Contains(list, w) {
				list = append(list, w)
			}
		}
		v.After = joined(list)
	case change == "subtract":
		gone := strings.Split(*value, ",")
		v.After = joined(slices.DeleteFunc(list, func(w string) bool { return slices.Contains(gone, w) }))
	}
	return v
}

func joined(list []string) *string {
	s := strings.Join(list, ",")
	return &s
}

// edit carries edits out on a resource, or only checks them, and says what changes.
func (k *cluster) edit(ctx context.Context, r resource, o *edits, check bool) ([]editView, error) {
	d, err := k.configOf(ctx, r)
	if err != nil {
		return nil, err
	}
	known, err := k.known(ctx, r, d)
	if err != nil {
		return nil, err
	}
	changes, views, err := o.plan(r, d, known)
	if err != nil {
		return nil, err
	}
	return views, k.alterConfigs(ctx, r, changes, check)
}

// printEdits adds changes of configuration to a table.
func printEdits(t *cli.Table, views []editView) {
	if len(views) == 0 {
		return
	}
	t.Header("config", "change", "before", "after")
	for _, v := range views {
		t.Row(v.Key, v.Change, showValue(v.Before, v.hidden), showValue(v.After, v.hidden))
	}
}
