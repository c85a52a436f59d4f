import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** Drives the Java client as package spec says. */
public final class Driver {
    static final ObjectMapper JSON = new ObjectMapper();
    static final String LETTERS = "abcdefghij".repeat(12);
    static final long LIMIT_MS = 300_000;
    static final int UNKNOWN = -2;
    static final Object OUT_LOCK = new Object();
    static final PrintStream OUT = System.out;

    /** The client has no such call. */
    static final class Unsupported extends Exception {
        Unsupported(String text) {
            super(text);
        }
    }

    /** A command that runs. */
    static final class Session {
        final JsonNode c;
        final CountDownLatch stop = new CountDownLatch(1);

        Session(JsonNode c) {
            this.c = c;
        }

        String text(String name) {
            return c.path(name).asText("");
        }

        long number(String name) {
            return c.path(name).asLong(0);
        }

        int partitions() {
            return (int) number("partitions");
        }

        boolean stopped() {
            return stop.getCount() == 0;
        }

        ObjectNode event(String e) {
            return JSON.createObjectNode().put("e", e);
        }

        void tell(ObjectNode e) {
            write(e.put("t", System.currentTimeMillis()));
        }
    }

    static void write(ObjectNode o) {
        synchronized (OUT_LOCK) {
            OUT.println(o);
            OUT.flush();
        }
    }

    interface Handler {
        ObjectNode run(Session s) throws Exception;
    }

    public static void main(String[] args) throws Exception {
        Map<String, Handler> handlers = Map.of(
                "info", Driver::info, "produce", Driver::produce, "consume", Driver::consume, "stream", Driver::stream,
                "group", Driver::member, "admin", AdminOps::run);
        ExecutorService work = Executors.newSingleThreadExecutor(r -> {
            Thread t = new Thread(r);
            t.setDaemon(true);
            return t;
        });
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Session last = null;
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Session s = new Session(JSON.readTree(line));
            if (s.text("do").equals("stop")) {
                if (last != null) {
                    last.stop.countDown();
                }
                continue;
            }
            last = s;
            work.submit(() -> write(answer(handlers.get(s.text("do")), s)));
        }
        System.exit(0);
    }

    static ObjectNode answer(Handler h, Session s) {
        try {
            if (h == null) {
                throw new Unsupported("unknown command " + s.text("do"));
            }
            return h.run(s).put("done", true);
        } catch (Throwable t) {
            Throwable e = t;
            while (e instanceof ExecutionException || e instanceof KafkaException && e.getCause() != null && e.getClass() == KafkaException.class) {
                e = e.getCause();
            }
            int code = e instanceof KafkaException ? Errors.forException(e).code() : UNKNOWN;
            return JSON.createObjectNode().put("error", e.toString()).put("code", code).put("unsupported", e instanceof Unsupported);
        }
    }

    static ObjectNode info(Session s) {
        ObjectNode o = JSON.createObjectNode().put("client", "java").put("version", AppInfoParser.getVersion()).put("static", true);
        List.of("none", "gzip", "snappy", "lz4", "zstd").forEach(o.putArray("codecs")::add);
        List.of("eager", "cooperative").forEach(o.putArray("assignors")::add);
        ArrayNode admin = o.putArray("admin");
        AdminOps.TABLE.keySet().stream().sorted().forEach(admin::add);
        return o;
    }

    static Properties config(Session s, String... more) {
        Properties p = new Properties();
        p.put("bootstrap.servers", s.text("addr"));
        p.put("client.id", "java");
        p.put("key.serializer", ByteArraySerializer.class.getName());
        p.put("value.serializer", ByteArraySerializer.class.getName());
        p.put("key.deserializer", ByteArrayDeserializer.class.getName());
        p.put("value.deserializer", ByteArrayDeserializer.class.getName());
        for (int i = 0; i < more.length; i += 2) {
            p.put(more[i], more[i + 1]);
        }
        return p;
    }

    static ProducerRecord<byte[], byte[]> record(String topic, long i, int partitions, long base) {
        byte[] key = i % 11 == 10 ? null : Long.toString(i).getBytes(StandardCharsets.UTF_8);
        byte[] value = i % 53 == 52 && key != null ? null
                : ("record " + i + " " + LETTERS.substring(0, (int) (20 + i * 31 % 100))).getBytes(StandardCharsets.UTF_8);
        ProducerRecord<byte[], byte[]> r = new ProducerRecord<>(topic, (int) (i % partitions), base + i, key, value);
        if (i % 3 == 0) {
            r.headers().add("n", Long.toString(i).getBytes(StandardCharsets.UTF_8));
        }
        return r;
    }

    /** A producer that counts acknowledgements and keeps the first error. */
    static final class Sender implements AutoCloseable {
        final KafkaProducer<byte[], byte[]> p;
        final AtomicLong acked = new AtomicLong();
        final AtomicReference<Exception> error = new AtomicReference<>();

        Sender(Properties config) {
            p = new KafkaProducer<>(config);
        }

        void send(Session s, long i) {
            p.send(record(s.text("topic"), i, s.partitions(), s.number("base")), (m, e) -> {
                if (e != null) {
                    error.compareAndSet(null, e);
                } else {
                    acked.incrementAndGet();
                }
            });
        }

        void end(long n) throws Exception {
            p.flush();
            if (error.get() != null) {
                throw error.get();
            }
            if (acked.get() != n) {
                throw new IllegalStateException(acked.get() + " of " + n + " records were acknowledged");
            }
        }

        @Override
        public void close() {
            p.close(Duration.ofSeconds(10));
        }
    }

    static ObjectNode produce(Session s) throws Exception {
        try (Sender out = new Sender(config(s, "compression.type", s.text("codec"), "linger.ms", "5", "acks", "all"))) {
            long first = s.number("from");
            long n = s.number("count");
            for (long i = first; i < first + n; i++) {
                out.send(s, i);
            }
            out.end(n);
            return JSON.createObjectNode().put("count", n);
        }
    }

    static ObjectNode stream(Session s) throws Exception {
        Properties config = config(s, "enable.idempotence", "true", "linger.ms", "5", "delivery.timeout.ms", Long.toString(LIMIT_MS),
                "max.block.ms", "60000", "reconnect.backoff.max.ms", "500");
        try (Sender out = new Sender(config)) {
            long begin = System.nanoTime();
            long said = 0;
            long n = 0;
            for (; !s.stopped() && out.error.get() == null; n++) {
                out.send(s, n);
                long left = begin + n * 1_000_000_000L / s.number("rate") - System.nanoTime();
                if (left > 1_000_000) {
                    Thread.sleep(left / 1_000_000);
                }
                if (System.nanoTime() - said > 100_000_000L) {
                    said = System.nanoTime();
                    s.tell(s.event("acked").put("n", out.acked.get()));
                }
            }
            out.end(n);
            return JSON.createObjectNode().put("count", n);
        }
    }

    static byte[] field(byte[] b) {
        if (b == null) {
            return "-1:,".getBytes(StandardCharsets.UTF_8);
        }
        return (b.length + ":" + new String(b, StandardCharsets.UTF_8) + ",").getBytes(StandardCharsets.UTF_8);
    }

    static ObjectNode consume(Session s) throws Exception {
        String topic = s.text("topic");
        int partitions = s.partitions();
        MessageDigest[] sums = new MessageDigest[partitions];
        long[] counts = new long[partitions];
        try (KafkaConsumer<byte[], byte[]> c = new KafkaConsumer<>(config(s, "enable.auto.commit", "false", "max.poll.records", "5000"))) {
            List<TopicPartition> parts = new ArrayList<>();
            for (int p = 0; p < partitions; p++) {
                parts.add(new TopicPartition(topic, p));
                sums[p] = MessageDigest.getInstance("SHA-256");
            }
            c.assign(parts);
            long left = c.endOffsets(parts).values().stream().mapToLong(Long::longValue).sum();
            c.seekToBeginning(parts);
            long until = System.currentTimeMillis() + LIMIT_MS;
            while (left > 0) {
                if (System.currentTimeMillis() > until) {
                    throw new IllegalStateException(left + " records did not come");
                }
                for (ConsumerRecord<byte[], byte[]> r : c.poll(Duration.ofSeconds(1))) {
                    int p = r.partition();
                    if (r.offset() != counts[p]) {
                        throw new IllegalStateException("partition " + p + ": offset " + r.offset() + " came, want " + counts[p]);
                    }
                    counts[p]++;
                    left--;
                    sums[p].update(field(r.key()));
                    sums[p].update(field(r.value()));
                    for (Header h : r.headers()) {
                        sums[p].update((h.key() + "=" + new String(h.value(), StandardCharsets.UTF_8)).getBytes(StandardCharsets.UTF_8));
                        break;
                    }
                    sums[p].update(("," + r.timestamp() + "\n").getBytes(StandardCharsets.UTF_8));
                }
            }
        }
        ObjectNode out = JSON.createObjectNode();
        ArrayNode list = out.putArray("sums");
        for (int p = 0; p < partitions; p++) {
            list.addObject().put("partition", p).put("records", counts[p]).put("sha256", HexFormat.of().formatHex(sums[p].digest()));
        }
        return out;
    }

    /** Tells of changes of the assignment, and forgets what is to be committed of partitions that are gone. */
    static final class Listener implements ConsumerRebalanceListener {
        final Session s;
        final Map<TopicPartition, OffsetAndMetadata> at;

        Listener(Session s, Map<TopicPartition, OffsetAndMetadata> at) {
            this.s = s;
            this.at = at;
        }

        void tell(String e, Collection<TopicPartition> parts) {
            ObjectNode o = s.event(e);
            ObjectNode p = o.putObject("p");
            parts.forEach(tp -> p.put(Integer.toString(tp.partition()), 0));
            s.tell(o);
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> parts) {
            tell("assigned", parts);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> parts) {
            at.keySet().removeAll(parts);
            tell("revoked", parts);
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> parts) {
            at.keySet().removeAll(parts);
            tell("lost", parts);
        }
    }

    static ObjectNode member(Session s) {
        Class<?> assignor = s.text("assignor").equals("cooperative") ? CooperativeStickyAssignor.class : RangeAssignor.class;
        Properties config = config(s, "group.id", s.text("group"), "enable.auto.commit", "false", "auto.offset.reset", "earliest",
                "session.timeout.ms", s.text("session"), "heartbeat.interval.ms", "1000", "fetch.max.wait.ms", "250",
                "max.poll.records", "200", "partition.assignment.strategy", assignor.getName());
        if (!s.text("instance").isEmpty()) {
            config.put("group.instance.id", s.text("instance"));
        }
        Map<TopicPartition, OffsetAndMetadata> at = new HashMap<>();
        try (KafkaConsumer<byte[], byte[]> c = new KafkaConsumer<>(config)) {
            c.subscribe(List.of(s.text("topic")), new Listener(s, at));
            long read = 0;
            while (!s.stopped()) {
                ConsumerRecords<byte[], byte[]> got = c.poll(Duration.ofMillis(200));
                for (TopicPartition tp : got.partitions()) {
                    ObjectNode e = s.event("read").put("part", tp.partition());
                    ArrayNode offsets = e.putArray("o");
                    ArrayNode keys = e.putArray("k");
                    long next = 0;
                    for (ConsumerRecord<byte[], byte[]> r : got.records(tp)) {
                        offsets.add(r.offset());
                        keys.add(r.key() == null ? "" : new String(r.key(), StandardCharsets.UTF_8));
                        next = r.offset() + 1;
                    }
                    s.tell(e);
                    at.put(tp, new OffsetAndMetadata(next));
                    read++;
                }
                if (read >= s.number("every") || got.isEmpty()) {
                    read = 0;
                    commit(s, c, at);
                }
            }
            commit(s, c, at);
        }
        return JSON.createObjectNode();
    }

    /** Commits what was read. What is refused is kept: a rebalance is over some day, and perhaps nothing more comes to be read. */
    static void commit(Session s, KafkaConsumer<byte[], byte[]> c, Map<TopicPartition, OffsetAndMetadata> at) {
        if (at.isEmpty()) {
            return;
        }
        ObjectNode p = JSON.createObjectNode();
        at.forEach((tp, o) -> p.put(Integer.toString(tp.partition()), o.offset()));
        ObjectNode e = s.event("commit");
        e.set("p", p);
        s.tell(e);
        ObjectNode after = s.event("committed");
        try {
            c.commitSync(at);
            at.clear();
        } catch (KafkaException err) {
            after.put("e", "refused").put("text", err.toString());
        }
        after.set("p", p);
        s.tell(after);
    }

    /** Waits for what an administrative call promises. */
    static <T> T get(org.apache.kafka.common.KafkaFuture<T> f) throws Exception {
        return f.get(60, TimeUnit.SECONDS);
    }
}
