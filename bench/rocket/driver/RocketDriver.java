import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32;

import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.MessageQueueSelector;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;

/**
 * Drives RocketMQ's Java client. One source for the versions 4.9.8 and 5.5.0, compiled against each.
 *
 * Each line of the standard input is a command in JSON (Command), and each has one line as its answer (Answer), in any order: commands
 * run at the same time. What push consumers read are lines of their own (Answer with "event"). It ends with its input. Package talk of
 * the program that starts it tells what the commands mean.
 */
public final class RocketDriver {
    /** A command. Which fields matter depends on what is to be done. */
    public static final class Command {
        public long id;
        public String op;
        public String name;
        public String kind;
        public String names; // the name server
        public String group;
        public String topic;
        public String expr = "*";
        public String mode;
        public String prefix = "";
        public String key;
        public List<String> tags = Collections.emptyList();
        public int from;
        public int count;
        public int size;
        public int level;
        public int batch = 1;
        public int threads = 4;
        public int fail;
        public int every = 1;
        public int max = -1;
        public int queue = -1;
        public int queues;
        public long offset;
        public long begin;
        public long end;
        public long wait;
    }

    /** A message as it was read. */
    public static final class Msg {
        public String topic;
        public int queue;
        public long offset;
        public String id;
        public String offsetId;
        public String body; // up to the first blank
        public int size;
        public long crc;
        public String tag;
        public String keys;
        public String n; // the user property
        public int again; // how often it was consumed before
        public long born;
        public long stored;
        public long read;
        public Map<String, String> props;
    }

    /** What became of one message that was sent. */
    public static final class Sent {
        public int i;
        public String id;
        public String offsetId;
        public int queue;
        public long offset;
        public String status;
        public String error;
        public int code;
    }

    /** An answer, or an event. */
    public static final class Answer {
        public long id;
        public boolean done;
        public String error;
        public int code;
        public String event;
        public String name;
        public String version;
        public List<Sent> sent;
        public List<Msg> msgs;
        public Msg m;
        public String status;
        public long next;
        public long min;
        public long max;
        public long at;
        public List<Integer> queues;
    }

    interface Closer {
        void close() throws Exception;
    }

    static final Map<String, Object> CLIENTS = new ConcurrentHashMap<>();
    static final Map<String, Closer> CLOSERS = new ConcurrentHashMap<>();
    private static final PrintStream OUT = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
    private static final int WINDOW = 64;

    public static void main(String[] args) throws Exception {
        System.setOut(System.err); // nothing but answers goes to the standard output
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Command c = RemotingSerializable.fromJson(line, Command.class);
            Thread t = new Thread(() -> tell(run(c)), "command " + c.op);
            t.setDaemon(true);
            t.start();
        }
        System.exit(0);
    }

    static void tell(Answer a) {
        String s = RemotingSerializable.toJson(a, false);
        synchronized (OUT) {
            OUT.println(s);
            OUT.flush();
        }
    }

    private static Answer run(Command c) {
        Answer a = new Answer();
        a.id = c.id;
        a.done = true;
        try {
            act(c, a);
        } catch (Throwable e) {
            a.error = String.valueOf(e);
            a.code = code(e);
        }
        return a;
    }

    /** The code that a broker answered, or the client's own; 0 if there is none. */
    static int code(Throwable e) {
        for (Throwable t = e; t != null; t = t.getCause()) {
            if (t instanceof MQBrokerException) {
                return ((MQBrokerException) t).getResponseCode();
            }
            if (t instanceof MQClientException && ((MQClientException) t).getResponseCode() > 0) {
                return ((MQClientException) t).getResponseCode();
            }
        }
        return 0;
    }

    private static void act(Command c, Answer a) throws Exception {
        switch (c.op) {
            case "info":
                a.version = MQVersion.getVersionDesc(MQVersion.CURRENT_VERSION);
                return;
            case "producer":
                producer(c);
                return;
            case "create":
                create(c);
                return;
            case "send":
                a.sent = send(c);
                return;
            case "transaction":
                transaction(c, a);
                return;
            case "close":
                Closer closer = CLOSERS.remove(c.name);
                CLIENTS.remove(c.name);
                if (closer != null) {
                    closer.close();
                }
                return;
            default:
                Consumers.act(c, a);
        }
    }

    private static void producer(Command c) throws Exception {
        DefaultMQProducer p = new DefaultMQProducer(c.group);
        p.setNamesrvAddr(c.names);
        p.setInstanceName(c.name);
        p.setSendMsgTimeout(c.wait > 0 ? (int) c.wait : 15_000);
        p.setRetryTimesWhenSendFailed(c.max >= 0 ? c.max : 2);
        p.setVipChannelEnabled("vip".equals(c.kind));
        if (c.queues > 0) {
            p.setDefaultTopicQueueNums(c.queues);
        }
        p.setMaxMessageSize(64 << 20); // the broker shall judge
        if (c.size > 0) {
            p.setCompressMsgBodyOverHowmuch(c.size);
        }
        p.start();
        CLIENTS.put(c.name, p);
        CLOSERS.put(c.name, p::shutdown);
    }

    /** Client 4 names three things to create a topic, client 5 attributes too. */
    private static void create(Command c) throws Exception {
        DefaultMQProducer p = (DefaultMQProducer) CLIENTS.get(c.name);
        for (Method m : DefaultMQProducer.class.getMethods()) {
            if (!m.getName().equals("createTopic")) {
                continue;
            }
            Class<?>[] types = m.getParameterTypes();
            try {
                if (types.length == 3) {
                    m.invoke(p, "TBW102", c.topic, c.queues);
                    return;
                }
                if (types.length == 4 && types[3] == Map.class) {
                    m.invoke(p, "TBW102", c.topic, c.queues, Collections.emptyMap());
                    return;
                }
            } catch (java.lang.reflect.InvocationTargetException e) {
                throw (Exception) e.getCause();
            }
        }
        throw new IllegalStateException("the client has no createTopic");
    }

    /** Message number i of a command: its body starts with prefix and number, and is filled up with letters to its size. */
    private static Message message(Command c, int i) {
        StringBuilder b = new StringBuilder(c.prefix).append(':').append(i).append(' ');
        while (b.length() < c.size) {
            b.append((char) ('a' + (b.length() * 7 + i) % 26));
        }
        String tag = c.tags.isEmpty() ? null : c.tags.get(i % c.tags.size());
        Message m = new Message(c.topic, tag, c.key == null ? "" : c.key + i, b.toString().getBytes(StandardCharsets.UTF_8));
        if (c.key == null) {
            m.getProperties().remove("KEYS");
        }
        m.putUserProperty("n", Integer.toString(i));
        if (c.level > 0) {
            m.setDelayTimeLevel(c.level);
        }
        return m;
    }

    private static List<Sent> send(Command c) throws Exception {
        DefaultMQProducer p = (DefaultMQProducer) CLIENTS.get(c.name);
        List<Sent> out = Collections.synchronizedList(new ArrayList<>());
        MessageQueueSelector select = (mqs, m, arg) -> mqs.get((Integer) arg % mqs.size());
        Semaphore window = new Semaphore(WINDOW);
        for (int i = c.from; i < c.from + c.count; i++) {
            Message m = message(c, i);
            int shard = c.queue >= 0 ? c.queue : i % Math.max(1, c.threads);
            try {
                switch (c.mode) {
                    case "sync":
                        out.add(sent(i, p.send(m), 0));
                        break;
                    case "ordered":
                        out.add(sent(i, p.send(m, select, shard), 0));
                        break;
                    case "oneway":
                        if (c.queue >= 0) {
                            p.sendOneway(m, select, shard);
                        } else {
                            p.sendOneway(m);
                        }
                        break;
                    case "async":
                        window.acquire();
                        p.send(m, callback(i, out, window));
                        break;
                    case "batch":
                        List<Message> many = new ArrayList<>();
                        int last = Math.min(i + c.batch, c.from + c.count);
                        for (int k = i; k < last; k++) {
                            many.add(message(c, k));
                        }
                        SendResult r = p.send(many);
                        for (int k = i; k < last; k++) {
                            out.add(sent(k, r, k - i));
                        }
                        i = last - 1;
                        break;
                    default:
                        throw new IllegalArgumentException("mode " + c.mode);
                }
            } catch (MQBrokerException | MQClientException | org.apache.rocketmq.remoting.exception.RemotingException e) {
                out.add(failed(i, e));
                if ("async".equals(c.mode)) {
                    window.release();
                }
                if ("batch".equals(c.mode)) {
                    i = Math.min(i + c.batch, c.from + c.count) - 1;
                }
            }
        }
        if (!window.tryAcquire(WINDOW, 60, TimeUnit.SECONDS)) {
            throw new IllegalStateException("callbacks of asynchronous sends are missing");
        }
        return out;
    }

    private static SendCallback callback(int i, List<Sent> out, Semaphore window) {
        return new SendCallback() {
            @Override
            public void onSuccess(SendResult r) {
                out.add(sent(i, r, 0));
                window.release();
            }

            @Override
            public void onException(Throwable e) {
                out.add(failed(i, e));
                window.release();
            }
        };
    }

    /** A batch has one result: the ids of all with commas between them, and the offset of the first. */
    private static Sent sent(int i, SendResult r, int at) {
        Sent s = new Sent();
        s.i = i;
        s.id = r.getMsgId() == null ? null : part(r.getMsgId(), at);
        s.offsetId = r.getOffsetMsgId() == null ? null : part(r.getOffsetMsgId(), at);
        s.queue = r.getMessageQueue().getQueueId();
        s.offset = r.getQueueOffset() + at;
        s.status = r.getSendStatus().name();
        return s;
    }

    private static String part(String list, int at) {
        String[] all = list.split(",");
        return at < all.length ? all[at] : "";
    }

    private static Sent failed(int i, Throwable e) {
        Sent s = new Sent();
        s.i = i;
        s.error = String.valueOf(e);
        s.code = code(e);
        return s;
    }

    /** Sends one message in a transaction that is committed at once. */
    private static void transaction(Command c, Answer a) throws Exception {
        TransactionMQProducer p = new TransactionMQProducer(c.group);
        p.setNamesrvAddr(c.names);
        p.setInstanceName(c.name);
        p.setSendMsgTimeout(15_000);
        p.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message m, Object arg) {
                return LocalTransactionState.COMMIT_MESSAGE;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt m) {
                return LocalTransactionState.COMMIT_MESSAGE;
            }
        });
        p.start();
        try {
            a.status = p.sendMessageInTransaction(message(c, 0), null).getSendStatus().name();
        } finally {
            p.shutdown();
        }
    }

    static Msg of(MessageExt m) {
        Msg r = new Msg();
        r.topic = m.getTopic();
        r.queue = m.getQueueId();
        r.offset = m.getQueueOffset();
        r.id = m.getMsgId();
        r.offsetId = offsetId(m);
        byte[] body = m.getBody() == null ? new byte[0] : m.getBody();
        r.size = body.length;
        CRC32 crc = new CRC32();
        crc.update(body);
        r.crc = crc.getValue();
        String text = new String(body, 0, Math.min(body.length, 200), StandardCharsets.UTF_8);
        r.body = text.indexOf(' ') < 0 ? text : text.substring(0, text.indexOf(' '));
        r.tag = m.getTags();
        r.keys = m.getKeys();
        r.n = m.getUserProperty("n");
        r.again = m.getReconsumeTimes();
        r.born = m.getBornTimestamp();
        r.stored = m.getStoreTimestamp();
        r.read = System.currentTimeMillis();
        r.props = m.getProperties();
        return r;
    }

    private static String offsetId(MessageExt m) {
        try {
            return (String) m.getClass().getMethod("getOffsetMsgId").invoke(m);
        } catch (ReflectiveOperationException e) {
            return m.getMsgId();
        }
    }
}
