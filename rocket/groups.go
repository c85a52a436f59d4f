package rocket

import "penstock/meta"

// group returns what is configured of a consumer group. Nothing need be: of every name that is allowed there is a group with the defaults, as with
// RocketMQ's autoCreateSubscriptionGroup. ok is false if no group may have the name.
func (f *Front) group(name string) (g *meta.GroupConfig, ok bool) {
	if g = f.o.Topics.Image().Group(name); g != nil {
		return g, true
	}
	if checkGroup(name) != "" {
		return nil, false
	}
	return &defaultGroup, true
}

// defaultGroup is what holds for groups of which nothing is configured. Its name is nobody's.
var defaultGroup = meta.DefaultGroup("")
