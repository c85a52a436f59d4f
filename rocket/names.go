package rocket

import (
	"fmt"
	"strings"
)

// The prefixes and names that mean something to RocketMQ.
const (
	retryPrefix   = "%RETRY%" // and the group: messages sent back
	deadPrefix    = "%DLQ%"   // and the group: dead letters
	templateTopic = "TBW102"  // whose queues a topic created by sending takes; there is no such topic
	delayTopic    = "SCHEDULE_TOPIC_XXXX"

	maxTopicName  = 127
	maxPrefixName = 255 // of a topic with one of the prefixes
	maxGroupName  = 120 // so that the prefixes fit
	maxQueues     = 4096
)

// reserved are the topics that clients must not send to.
var reserved = map[string]bool{
	delayTopic: true, "RMQ_SYS_TRANS_HALF_TOPIC": true, "RMQ_SYS_TRANS_OP_HALF_TOPIC": true, "TRANS_CHECK_MAX_TIME_TOPIC": true,
	"SELF_TEST_TOPIC": true, "OFFSET_MOVED_EVENT": true,
}

// isNameByte tells the characters of names: ^[%|a-zA-Z0-9_-]+$.
func isNameByte(ch byte) bool {
	return ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || ch >= '0' && ch <= '9' || ch == '_' || ch == '-' || ch == '%' || ch == '|'
}

func isName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// checkTopic says what is wrong with a topic's name, empty if nothing is.
func checkTopic(name string) string {
	most := maxTopicName
	if strings.HasPrefix(name, retryPrefix) || strings.HasPrefix(name, deadPrefix) {
		most = maxPrefixName
	}
	switch {
	case strings.TrimSpace(name) == "":
		return "The specified topic is blank."
	case !isName(name):
		return fmt.Sprintf("The specified topic: %.300s, contains illegal characters, allowing only ^[%%|a-zA-Z0-9_-]+$", name)
	case len(name) > most:
		return fmt.Sprintf("The specified topic: %.300s, is longer than topic max length: %d", name, most)
	}
	return ""
}

// checkGroup says what is wrong with a consumer group's name, empty if nothing is.
func checkGroup(name string) string {
	switch {
	case strings.TrimSpace(name) == "":
		return "The specified group is blank."
	case !isName(name):
		return fmt.Sprintf("The specified group: %.300s, contains illegal characters, allowing only ^[%%|a-zA-Z0-9_-]+$", name)
	case len(name) > maxGroupName:
		return fmt.Sprintf("The specified group: %.300s, is longer than group max length: %d", name, maxGroupName)
	}
	return ""
}
