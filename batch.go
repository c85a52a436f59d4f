package penstock

// Codec is the compression of a batch's records, with Kafka's numbers.
type Codec uint8

// The codecs of the record format.
const (
	CodecNone Codec = iota
	CodecGzip
	CodecSnappy
	CodecLZ4
	CodecZstd
)

// String is the codec's name as in Kafka's compression.type.
func (c Codec) String() string {
	names := [...]string{"none", "gzip", "snappy", "lz4", "zstd"}
	if int(c) < len(names) {
		return names[c]
	}
	return "unknown"
}

// BatchFlags are the properties of a batch that more than one room asks for.
type BatchFlags uint8

// The flags of a batch.
const (
	FlagTransactional BatchFlags = 1 << iota // part of a transaction
	FlagControl                              // a transaction marker, not user data
	FlagLogAppendTime                        // MaxTimestamp is the broker's clock for every record
)

// BatchHeader is what the rooms need to know of a batch, whatever its format. It holds no reference to the bytes.
type BatchHeader struct {
	Size           int32     // bytes of the whole batch, its header included
	Records        int32     // records in the batch, 0 after compaction
	BaseOffset     Offset    // offset of the first record
	LastDelta      int32     // offset of the last record minus BaseOffset
	Epoch          Epoch     // leader epoch that the batch was appended in
	FirstTimestamp Timestamp // of the first record
	MaxTimestamp   Timestamp // the largest in the batch
	ProducerID     ProducerID
	BaseSequence   int32 // sequence of the first record, NoSequence without a producer
	ProducerEpoch  int16
	Codec          Codec
	Flags          BatchFlags
}

// LastOffset is the offset of the batch's last record.
func (h *BatchHeader) LastOffset() Offset { return h.BaseOffset + Offset(h.LastDelta) }

// NextOffset is the offset after the batch's last record.
func (h *BatchHeader) NextOffset() Offset { return h.BaseOffset + Offset(h.LastDelta) + 1 }

// Is reports whether all flags of f are set.
func (h *BatchHeader) Is(f BatchFlags) bool { return h.Flags&f == f }

// Batch is a validated batch on its way to a log: the bytes, and the header that was read from them. The bytes belong
// to whoever made the Batch; the log stamps offset and epoch into them in place and keeps no reference after Append.
type Batch struct {
	Header BatchHeader
	Bytes  []byte
}

// Stamp is what only the log knows of a batch, and writes into it when it is appended.
type Stamp struct {
	Base       Offset
	Position   Position // of the batch's first byte; the record format does not store it
	Epoch      Epoch
	AppendTime Timestamp // NoTimestamp leaves the producer's times
}
