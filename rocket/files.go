package rocket

// What a RocketMQ broker keeps in the files below store/config, for those who read and write such files.

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"penstock"
	"penstock/meta"
)

// GroupFile is what is configured of a group as RocketMQ has it in subscriptionGroup.json (SubscriptionGroupConfig).
func GroupFile(g *meta.GroupConfig) json.RawMessage { return mustJSON(groupToJSON(g)) }

// ParseGroupFile reads what GroupFile or RocketMQ wrote of the group of that name. What is absent has RocketMQ's default. Errors: penstock.ErrInvalidConfig.
func ParseGroupFile(name string, b []byte) (meta.GroupConfig, error) {
	if why := checkGroup(name); why != "" {
		return meta.GroupConfig{}, fmt.Errorf("%w: %s", penstock.ErrInvalidConfig, why)
	}
	g := meta.DefaultGroup(name)
	out, err := groupOver(&g, b)
	if err == nil && out.Name != name {
		err = fmt.Errorf("%w: configuration of group %s names %.300q", penstock.ErrInvalidConfig, name, out.Name)
	}
	return out, err
}

// OwnGroup reports whether every RocketMQ broker has the group for itself (MixAll).
func OwnGroup(name string) bool {
	switch name {
	case "DEFAULT_CONSUMER", "DEFAULT_PRODUCER", "TOOLS_CONSUMER", "SCHEDULE_CONSUMER", "FILTERSRV_CONSUMER", "__MONITOR_CONSUMER", "CLIENT_INNER_PRODUCER",
		"SELF_TEST_P_GROUP", "SELF_TEST_C_GROUP", "CID_ONS-HTTP-PROXY", "CID_ONSAPI_PERMISSION", "CID_ONSAPI_OWNER", "CID_ONSAPI_PULL":
		return true
	}
	return strings.HasPrefix(name, "CID_RMQ_SYS_")
}

// AttributesFile are a topic's attributes as RocketMQ has them in topics.json, of the value of meta.ConfigAttributes.
func AttributesFile(kept string) map[string]string { return attributeMap(kept) }

// ParseAttributesFile is the value of meta.ConfigAttributes for what topics.json has of a topic's attributes. Names with a sign in front, as commands have
// them, are taken without it. Errors: penstock.ErrInvalidConfig.
func ParseAttributesFile(file map[string]string) (string, error) {
	var changes []string
	for _, name := range slices.Sorted(maps.Keys(file)) {
		if strings.ContainsAny(name+file[name], ",") {
			return "", fmt.Errorf("%w: attribute %.64q: it has a comma", penstock.ErrInvalidConfig, name)
		}
		changes = append(changes, "+"+strings.TrimPrefix(name, "+")+"="+file[name])
	}
	return changeAttributes("", strings.Join(changes, ","))
}
