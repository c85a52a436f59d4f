// Package gorocket is the driver of rocketmq-client-go: it speaks the language of package talk. The client has no way to ask for
// offsets by time, to query, to commit without reading, or to pull in lite form; those commands answer that they are unsupported.
package gorocket

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"

	"penstock/bench/rocket/talk"
)

// Version is the version of the client.
const Version = "2.1.2"

const (
	// sendLimit bounds one send.
	sendLimit = 15 * time.Second
	// window is how many asynchronous sends are under way at most.
	window = 64
	// maxCommand bounds a command's line.
	maxCommand = 1 << 20
)

// errUnsupported is the answer to what the client cannot do.
var errUnsupported = errors.New("the client has no such call")

// driver is what the process holds.
type driver struct {
	mu      sync.Mutex // guards all
	out     *bufio.Writer
	senders map[string]rocketmq.Producer
	pullers map[string]*puller
	closers map[string]func() error
}

// puller is a pull consumer; the client wants one topic for each.
type puller struct {
	c      rocketmq.PullConsumer
	queues []*primitive.MessageQueue
}

// Serve runs the driver until in ends.
func Serve(in io.Reader, out io.Writer) error {
	rlog.SetLogLevel(cmp.Or(os.Getenv("ROCKETMQ_GO_LOG_LEVEL"), "fatal"))
	d := &driver{
		out: bufio.NewWriter(out), senders: map[string]rocketmq.Producer{}, pullers: map[string]*puller{}, closers: map[string]func() error{},
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxCommand)
	for lines.Scan() {
		var c talk.Command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return fmt.Errorf("command: %w", err)
		}
		go d.run(c)
	}
	return lines.Err()
}

func (d *driver) run(c talk.Command) {
	a := talk.Answer{ID: c.ID, Done: true}
	if err := d.act(c, &a); err != nil {
		a.Error, a.Code = err.Error(), code(err)
	}
	d.tell(a)
}

// code is what the broker answered, 0 if it did not.
func code(err error) int {
	if e, ok := errors.AsType[*primitive.MQBrokerErr](err); ok {
		return int(e.ResponseCode)
	}
	if e, ok := errors.AsType[primitive.MQBrokerErr](err); ok {
		return int(e.ResponseCode)
	}
	return 0
}

func (d *driver) tell(a talk.Answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, err := json.Marshal(a)
	if err == nil {
		_, _ = d.out.Write(append(b, '\n'))
		err = d.out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

func (d *driver) act(c talk.Command, a *talk.Answer) error {
	switch c.Op {
	case "info":
		a.Version = Version
		return nil
	case "producer":
		return d.producer(c)
	case "create":
		return create(c)
	case "send":
		return d.send(c, a)
	case "push":
		return d.push(c)
	case "puller":
		return d.puller(c)
	case "queues":
		p := d.pullerOf(c)
		for _, q := range p.queues {
			a.Queues = append(a.Queues, q.QueueId)
		}
		return nil
	case "pull":
		return d.pull(c, a)
	case "close":
		d.mu.Lock()
		end := d.closers[c.Name]
		delete(d.closers, c.Name)
		delete(d.senders, c.Name)
		delete(d.pullers, c.Name)
		d.mu.Unlock()
		if end == nil {
			return nil
		}
		return end()
	default:
		return errUnsupported
	}
}

func resolver(c talk.Command) primitive.NsResolver {
	return primitive.NewPassthroughResolver([]string{c.Names})
}

// chooser sends to the queue that a message names, and takes turns for others.
type chooser struct{ turns producer.QueueSelector }

func (s chooser) Select(m *primitive.Message, all []*primitive.MessageQueue, last string) *primitive.MessageQueue {
	if n, err := strconv.Atoi(m.GetShardingKey()); err == nil {
		return all[n%len(all)]
	}
	return s.turns.Select(m, all, last)
}

func (d *driver) producer(c talk.Command) error {
	retries := 2
	if c.Max != nil {
		retries = *c.Max
	}
	limit := sendLimit
	if c.Wait > 0 {
		limit = time.Duration(c.Wait) * time.Millisecond
	}
	opts := []producer.Option{
		producer.WithNsResolver(resolver(c)), producer.WithGroupName(c.Group), producer.WithInstanceName(c.Name), producer.WithRetry(retries),
		producer.WithSendMsgTimeout(limit), producer.WithVIPChannel(c.Kind == "vip"), producer.WithQueueSelector(chooser{producer.NewRoundRobinQueueSelector()}),
	}
	if c.Queues > 0 {
		opts = append(opts, producer.WithDefaultTopicQueueNums(c.Queues))
	}
	if c.Size > 0 {
		opts = append(opts, producer.WithCompressMsgBodyOverHowmuch(c.Size))
	}
	p, err := rocketmq.NewProducer(opts...)
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.senders[c.Name], d.closers[c.Name] = p, p.Shutdown
	return nil
}

// create asks the broker itself; the client wants its address, which the command has in Key.
func create(c talk.Command) error {
	a, err := admin.NewAdmin(admin.WithResolver(resolver(c)))
	if err != nil {
		return err
	}
	defer a.Close()
	ctx, cancel := context.WithTimeout(context.Background(), sendLimit)
	defer cancel()
	return a.CreateTopic(ctx, admin.WithTopicCreate(c.Topic), admin.WithBrokerAddrCreate(c.Key), admin.WithReadQueueNums(c.Queues), admin.WithWriteQueueNums(c.Queues))
}

// message is message number i of a command.
func message(c talk.Command, i int) *primitive.Message {
	m := primitive.NewMessage(c.Topic, talk.Body(c.Prefix, i, c.Size))
	if len(c.Tags) > 0 {
		m.WithTag(c.Tags[i%len(c.Tags)])
	}
	if c.Key != "" {
		m.WithKeys([]string{c.Key + strconv.Itoa(i)})
	}
	m.WithProperty("n", strconv.Itoa(i))
	if c.Level > 0 {
		m.WithDelayTimeLevel(c.Level)
	}
	if c.Mode == "ordered" {
		shard := i % max(1, c.Thread)
		if c.Queue != nil {
			shard = *c.Queue
		}
		m.WithShardingKey(strconv.Itoa(shard))
	}
	return m
}

func (d *driver) send(c talk.Command, a *talk.Answer) error {
	d.mu.Lock()
	p := d.senders[c.Name]
	d.mu.Unlock()
	if p == nil {
		return fmt.Errorf("no producer %q", c.Name)
	}
	ctx := context.Background()
	switch c.Mode {
	case "async":
		return sendAsync(ctx, p, c, a)
	case "batch":
		for i := c.From; i < c.From+c.Count; i += c.Batch {
			var many []*primitive.Message
			for k := i; k < min(i+c.Batch, c.From+c.Count); k++ {
				many = append(many, message(c, k))
			}
			r, err := p.SendSync(ctx, many...)
			for k := range many {
				a.Sent = append(a.Sent, part(sent(i+k, r, err), k))
			}
		}
	case "oneway":
		for i := c.From; i < c.From+c.Count; i++ {
			if err := p.SendOneWay(ctx, message(c, i)); err != nil {
				a.Sent = append(a.Sent, sent(i, nil, err))
			}
		}
	default:
		for i := c.From; i < c.From+c.Count; i++ {
			r, err := p.SendSync(ctx, message(c, i))
			a.Sent = append(a.Sent, sent(i, r, err))
		}
	}
	return nil
}

func sendAsync(ctx context.Context, p rocketmq.Producer, c talk.Command, a *talk.Answer) error {
	var mu sync.Mutex // guards a
	var all sync.WaitGroup
	slots := make(chan struct{}, window)
	for i := c.From; i < c.From+c.Count; i++ {
		slots <- struct{}{}
		all.Add(1)
		took := func(_ context.Context, r *primitive.SendResult, err error) {
			mu.Lock()
			a.Sent = append(a.Sent, sent(i, r, err))
			mu.Unlock()
			<-slots
			all.Done()
		}
		if err := p.SendAsync(ctx, took, message(c, i)); err != nil {
			took(ctx, nil, err)
		}
	}
	all.Wait()
	return nil
}

// states are the names that Java has for the results of a send.
var states = map[primitive.SendStatus]string{
	primitive.SendOK: "SEND_OK", primitive.SendFlushDiskTimeout: "FLUSH_DISK_TIMEOUT",
	primitive.SendFlushSlaveTimeout: "FLUSH_SLAVE_TIMEOUT", primitive.SendSlaveNotAvailable: "SLAVE_NOT_AVAILABLE",
}

// part takes message k out of the result of a batch, which has the ids of all with commas between them, and the first one's offset.
func part(s talk.Sent, k int) talk.Sent {
	for _, id := range []*string{&s.ID, &s.OffsetID} {
		if all := strings.Split(*id, ","); k < len(all) {
			*id = all[k]
		}
	}
	s.Offset += int64(k)
	return s
}

func sent(i int, r *primitive.SendResult, err error) talk.Sent {
	if err != nil {
		return talk.Sent{I: i, Error: err.Error(), Code: code(err)}
	}
	s := talk.Sent{I: i, ID: r.MsgID, OffsetID: r.OffsetMsgID, Offset: r.QueueOffset, Status: states[r.Status]}
	if r.MessageQueue != nil {
		s.Queue = r.MessageQueue.QueueId
	}
	return s
}

func (d *driver) push(c talk.Command) error {
	opts := []consumer.Option{
		consumer.WithNsResolver(resolver(c)), consumer.WithGroupName(c.Group), consumer.WithInstance(c.Name),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset), consumer.WithConsumeMessageBatchMaxSize(max(1, c.Batch)),
		consumer.WithConsumeGoroutineNums(max(1, c.Thread)),
	}
	if c.Max != nil && *c.Max >= 0 {
		opts = append(opts, consumer.WithMaxReconsumeTimes(int32(*c.Max)))
	}
	switch c.Kind {
	case "broadcast":
		opts = append(opts, consumer.WithConsumerModel(consumer.BroadCasting))
	case "orderly":
		opts = append(opts, consumer.WithConsumerOrder(true), consumer.WithSuspendCurrentQueueTimeMillis(100*time.Millisecond))
	}
	p, err := rocketmq.NewPushConsumer(opts...)
	if err != nil {
		return err
	}
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: cmp.Or(c.Expr, "*")}
	if err := p.Subscribe(c.Topic, selector, d.listener(c)); err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closers[c.Name] = p.Shutdown
	return nil
}

// listener is what a push consumer does with messages.
func (d *driver) listener(c talk.Command) func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	return func(ctx context.Context, msgs ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		if c.Kind == "orderly" {
			d.events(c, "begin", msgs)
		}
		if !failing(c, msgs) {
			d.events(c, "read", msgs)
			return consumer.ConsumeSuccess, nil
		}
		d.events(c, "fail", msgs)
		if c.Kind == "orderly" {
			return consumer.SuspendCurrentQueueAMoment, nil
		}
		if t, ok := primitive.GetConcurrentlyCtx(ctx); ok && c.Level != 0 {
			t.DelayLevelWhenNextConsume = c.Level
		}
		return consumer.ConsumeRetryLater, nil
	}
}

func failing(c talk.Command, msgs []*primitive.MessageExt) bool {
	for _, m := range msgs {
		n, err := strconv.Atoi(m.GetProperty("n"))
		if err == nil && n%max(1, c.Every) == 0 && int(m.ReconsumeTimes) < c.Fail {
			return true
		}
	}
	return false
}

func (d *driver) events(c talk.Command, event string, msgs []*primitive.MessageExt) {
	for _, m := range msgs {
		r := of(m)
		d.tell(talk.Answer{Event: event, Name: c.Name, M: &r})
	}
}

func of(m *primitive.MessageExt) talk.Msg {
	r := talk.Msg{
		Topic: m.Topic, Offset: m.QueueOffset, ID: m.MsgId, OffsetID: m.OffsetMsgId, Body: talk.Head(m.Body), Size: len(m.Body), CRC: talk.Sum(m.Body),
		Tag: m.GetTags(), Keys: m.GetKeys(), N: m.GetProperty("n"), Again: int(m.ReconsumeTimes), Born: m.BornTimestamp, Stored: m.StoreTimestamp,
		Read: time.Now().UnixMilli(), Props: m.GetProperties(),
	}
	if m.Queue != nil {
		r.Queue = m.Queue.QueueId
	}
	return r
}

func (d *driver) puller(c talk.Command) error {
	a, err := admin.NewAdmin(admin.WithResolver(resolver(c)))
	if err != nil {
		return err
	}
	queues, err := a.FetchPublishMessageQueues(context.Background(), c.Topic)
	if err := errors.Join(err, a.Close()); err != nil {
		return err
	}
	p, err := rocketmq.NewPullConsumer(consumer.WithNsResolver(resolver(c)), consumer.WithGroupName(c.Group), consumer.WithInstance(c.Name))
	if err != nil {
		return err
	}
	if err := p.Subscribe(c.Topic, consumer.MessageSelector{Type: consumer.TAG, Expression: cmp.Or(c.Expr, "*")}); err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pullers[c.Name], d.closers[c.Name] = &puller{p, queues}, p.Shutdown
	return nil
}

func (d *driver) pullerOf(c talk.Command) *puller {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pullers[c.Name]
}

// found are the names that Java has for the results of a pull.
var found = map[primitive.PullStatus]string{
	primitive.PullFound: "FOUND", primitive.PullNoNewMsg: "NO_NEW_MSG", primitive.PullNoMsgMatched: "NO_MATCHED_MSG",
	primitive.PullOffsetIllegal: "OFFSET_ILLEGAL", primitive.PullBrokerTimeout: "BROKER_TIMEOUT",
}

func (d *driver) pull(c talk.Command, a *talk.Answer) error {
	p := d.pullerOf(c)
	for _, q := range p.queues {
		if q.QueueId != *c.Queue {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), sendLimit)
		defer cancel()
		r, err := p.c.PullFrom(ctx, q, c.Offset, c.Count)
		if err != nil {
			return err
		}
		a.Status, a.Next, a.Min, a.Max = found[r.Status], r.NextBeginOffset, r.MinOffset, r.MaxOffset
		for _, m := range r.GetMessageExts() {
			a.Msgs = append(a.Msgs, of(m))
		}
		return nil
	}
	return fmt.Errorf("no queue %d of %s", *c.Queue, c.Topic)
}
