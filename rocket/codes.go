package rocket

import (
	"context"
	"errors"
	"strconv"

	"penstock"
	"penstock/group"
	"penstock/rocket/remoting"
)

// code is a response code of RocketMQ's protocol.
type code int32

// The codes that this front gives, with RocketMQ's names. A client's sender tries again, on another broker if there is one, after
// SYSTEM_ERROR, SYSTEM_BUSY, SERVICE_NOT_AVAILABLE, NO_PERMISSION and TOPIC_NOT_EXIST, and not after the others.
const (
	codeSuccess               code = 0
	codeSystemError           code = 1
	codeSystemBusy            code = 2
	codeNotSupported          code = 3
	codeMessageIllegal        code = 13
	codeServiceNotAvailable   code = 14
	codeNoPermission          code = 16
	codeTopicNotExist         code = 17
	codePullNotFound          code = 19
	codePullRetry             code = 20
	codePullOffsetMoved       code = 21
	codeQueryNotFound         code = 22
	codeSubscriptionParse     code = 23
	codeSubscriptionNotExist  code = 24
	codeSubscriptionNotLatest code = 25
	codeGroupNotExist         code = 26
	codeInvalidParameter      code = 29
	codeConsumerNotOnline     code = 206
	codeConsumeTimeout        code = 207
	lastCode                  code = 255 // codes are counted up to here
)

// codeNames are the label values of metrics.
var codeNames = map[code]string{
	codeSuccess:               "SUCCESS",
	codeSystemError:           "SYSTEM_ERROR",
	codeSystemBusy:            "SYSTEM_BUSY",
	codeNotSupported:          "REQUEST_CODE_NOT_SUPPORTED",
	codeMessageIllegal:        "MESSAGE_ILLEGAL",
	codeServiceNotAvailable:   "SERVICE_NOT_AVAILABLE",
	codeNoPermission:          "NO_PERMISSION",
	codeTopicNotExist:         "TOPIC_NOT_EXIST",
	codePullNotFound:          "PULL_NOT_FOUND",
	codePullRetry:             "PULL_RETRY_IMMEDIATELY",
	codePullOffsetMoved:       "PULL_OFFSET_MOVED",
	codeQueryNotFound:         "QUERY_NOT_FOUND",
	codeSubscriptionParse:     "SUBSCRIPTION_PARSE_FAILED",
	codeSubscriptionNotExist:  "SUBSCRIPTION_NOT_EXIST",
	codeSubscriptionNotLatest: "SUBSCRIPTION_NOT_LATEST",
	codeGroupNotExist:         "SUBSCRIPTION_GROUP_NOT_EXIST",
	codeInvalidParameter:      "INVALID_PARAMETER",
	codeConsumerNotOnline:     "CONSUMER_NOT_ONLINE",
	codeConsumeTimeout:        "CONSUME_MSG_TIMEOUT",
}

// String is RocketMQ's name of the code, or its number if it is not one of the above.
func (c code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return strconv.Itoa(int(c))
}

// errorTable maps the errors of the rooms below to codes: the first that matches counts. What clients try again is told by the code, so the
// choice decides behaviour. A failed sync is SERVICE_NOT_AVAILABLE and not FLUSH_DISK_TIMEOUT, which a client takes for sent.
var errorTable = [...]struct {
	err  error
	code code
}{
	{remoting.ErrField, codeSystemError},
	{group.ErrLoading, codeSystemBusy},
	{group.ErrUnavailable, codeServiceNotAvailable},
	{group.ErrNotCoordinator, codeServiceNotAvailable},
	{group.ErrInvalidGroup, codeInvalidParameter},
	{group.ErrOtherKind, codeNoPermission},
	{group.ErrRosterFull, codeSystemBusy},
	{group.ErrGroupNotFound, codeGroupNotExist},
	{penstock.ErrOffsetOutOfRange, codePullOffsetMoved},
	{penstock.ErrInvalidRecord, codeMessageIllegal},
	{penstock.ErrTooLarge, codeMessageIllegal},
	{penstock.ErrDiskFull, codeServiceNotAvailable},
	{penstock.ErrOffline, codeServiceNotAvailable},
	{penstock.ErrNotEnoughReplicas, codeSystemError},
	{penstock.ErrFewerReplicas, codeSystemError},
	{penstock.ErrNotLeader, codeServiceNotAvailable},
	{penstock.ErrClosed, codeServiceNotAvailable},
	{penstock.ErrUnknownTopicID, codeTopicNotExist},
	{penstock.ErrUnknownTopic, codeTopicNotExist},
	{penstock.ErrInvalidTopic, codeInvalidParameter},
	{penstock.ErrInvalidPartitions, codeInvalidParameter},
	{penstock.ErrInvalidConfig, codeInvalidParameter},
	{penstock.ErrUnavailable, codeSystemBusy},
	{penstock.ErrConflict, codeSystemBusy},
	{context.DeadlineExceeded, codeSystemBusy},
	{context.Canceled, codeSystemBusy},
}

// codeOf is the code that a client is told for err. What the table does not name is SYSTEM_ERROR, as of RocketMQ: a damaged log, or a fault of
// ours.
func codeOf(err error) code {
	if err == nil {
		return codeSuccess
	}
	for i := range errorTable {
		if errors.Is(err, errorTable[i].err) {
			return errorTable[i].code
		}
	}
	return codeSystemError
}
