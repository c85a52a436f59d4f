// Package convert turns messages into records and records into messages, so that a topic of either format is read and written by the clients of
// both protocols. It is pure: bytes in, bytes out, no clock and no I/O. Packer makes record batches of stored messages, Unpacker
// stored messages of records. Neither may be used by two goroutines at once; both keep their memory for the next use.
//
//	record                                    message
//	key                                       property KEYS
//	value                                     body, decompressed
//	value null (a tombstone)                  empty body and property kafka.value=null
//	header name: value                        property name=value; so TAGS is the tag, UNIQ_KEY the unique id
//	timestamp                                 time of birth
//	header rocketmq.flag, .reconsumed,        the head's field of that name; there is none where that is 0
//	  .sysflag (decimal)
//
// Properties hold text: UTF-8 without the bytes 1 and 2, names that are not empty and come once. What a record has besides is kept in
// properties that this package alone writes, escaped as in URLs:
//
//	property kafka.producer                   whose batch begins with this record, and its sequence; no part of the record
//	property kafka.key                        a key that is binary or empty
//	property kafka.header.<n>                 header <n> whose name or value is null, binary, reserved or a second of its name:
//	                                          name=value, or only the name of a null
//
// The way from a record to a message and back is exact in all parts. The way from a message to a record and back is exact in body,
// flag, times of consumption, time of birth and properties, with these bounds: the body comes back decompressed; properties
// that are not UTF-8, come twice or have no name or a name of those above do not keep their form; an empty KEYS is none. What a record
// has no place for (hosts, time of storing, bits of the transaction) is new when it becomes a message again. docs/protocol/mapping.md says it for users, with examples.
package convert

// The names in properties and headers that mean something here.
const (
	propertyKey      = "kafka.key"
	propertyValue    = "kafka.value"
	propertyHeader   = "kafka.header."
	propertyOwn      = "kafka." // begins all that are this package's
	propertyCRC      = "__CRC32#"
	nullValue        = "null"
	headerFlag       = "rocketmq.flag"
	headerSysFlag    = "rocketmq.sysflag"
	headerReconsumed = "rocketmq.reconsumed"
	separators       = "\x01\x02" // behind a property's name, and behind its value
	recordCRCSize    = len(propertyCRC) + 1 + 10 + 1
)

// Bounds.
const (
	defaultBodyBytes   = 64 << 20
	defaultBatchBytes  = 512 << 10
	freeBodyBytes      = 4 << 20 // of a body, for which the ratio does not count
	maxCompressedRatio = 1100    // gzip reaches 1,032
)
