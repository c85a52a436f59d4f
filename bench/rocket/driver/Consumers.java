import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** The reading side of RocketDriver. */
@SuppressWarnings("deprecation") // DefaultMQPullConsumer is what clients of version 4 pull with
final class Consumers {
    private Consumers() {
    }

    static void act(RocketDriver.Command c, RocketDriver.Answer a) throws Exception {
        switch (c.op) {
            case "push":
                push(c);
                return;
            case "puller":
                puller(c);
                return;
            case "queues":
                a.queues = new ArrayList<>();
                for (MessageQueue q : pullOf(c).fetchSubscribeMessageQueues(c.topic)) {
                    a.queues.add(q.getQueueId());
                }
                Collections.sort(a.queues);
                return;
            case "pull":
                pull(c, a);
                return;
            case "offsets":
                offsets(c, a);
                return;
            case "commit":
                commit(c);
                return;
            case "lite":
                lite(c);
                return;
            case "poll":
                poll(c, a);
                return;
            case "seek":
                seek(c, a);
                return;
            case "query":
                query(c, a);
                return;
            case "back":
                back(c);
                return;
            default:
                throw new IllegalArgumentException("unknown command " + c.op);
        }
    }

    /** A push consumer. A message whose number c.every divides fails while it was consumed fewer than c.fail times before. */
    private static void push(RocketDriver.Command c) throws Exception {
        DefaultMQPushConsumer p = new DefaultMQPushConsumer(c.group);
        p.setNamesrvAddr(c.names);
        p.setInstanceName(c.name);
        p.setPollNameServerInterval(2_000); // not 30 s: the topic of retries comes with the first of them
        p.setConsumeFromWhere("last".equals(c.mode) ? ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET : ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        p.setConsumeThreadMin(c.threads);
        p.setConsumeThreadMax(c.threads);
        p.setConsumeMessageBatchMaxSize(c.batch);
        p.setMaxReconsumeTimes(c.max);
        p.setVipChannelEnabled(false);
        if ("broadcast".equals(c.kind)) {
            p.setMessageModel(Enum.valueOf(p.getMessageModel().getDeclaringClass(), "BROADCASTING"));
        }
        p.subscribe(c.topic, c.expr);
        if ("orderly".equals(c.kind)) {
            p.setSuspendCurrentQueueTimeMillis(c.wait > 0 ? c.wait : 100);
            p.registerMessageListener((MessageListenerOrderly) (msgs, ctx) -> {
                tell(c, "begin", msgs);
                boolean fail = failing(c, msgs);
                tell(c, fail ? "fail" : "read", msgs);
                return fail ? ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT : ConsumeOrderlyStatus.SUCCESS;
            });
        } else {
            p.registerMessageListener((MessageListenerConcurrently) (msgs, ctx) -> {
                boolean fail = failing(c, msgs);
                tell(c, fail ? "fail" : "read", msgs);
                if (c.level != 0) {
                    ctx.setDelayLevelWhenNextConsume(c.level);
                }
                return fail ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        }
        p.start();
        RocketDriver.CLIENTS.put(c.name, p);
        RocketDriver.CLOSERS.put(c.name, p::shutdown);
    }

    private static boolean failing(RocketDriver.Command c, List<MessageExt> msgs) {
        for (MessageExt m : msgs) {
            String n = m.getUserProperty("n");
            if (n != null && Integer.parseInt(n) % c.every == 0 && m.getReconsumeTimes() < c.fail) {
                return true;
            }
        }
        return false;
    }

    private static void tell(RocketDriver.Command c, String event, List<MessageExt> msgs) {
        for (MessageExt m : msgs) {
            RocketDriver.Answer a = new RocketDriver.Answer();
            a.event = event;
            a.name = c.name;
            a.m = RocketDriver.of(m);
            RocketDriver.tell(a);
        }
    }

    private static void puller(RocketDriver.Command c) throws Exception {
        DefaultMQPullConsumer p = new DefaultMQPullConsumer(c.group);
        p.setNamesrvAddr(c.names);
        p.setInstanceName(c.name);
        p.setPollNameServerInterval(2_000); // not 30 s: the topic of retries comes with the first of them
        p.setVipChannelEnabled(false);
        p.start();
        RocketDriver.CLIENTS.put(c.name, p);
        RocketDriver.CLOSERS.put(c.name, p::shutdown);
    }

    private static DefaultMQPullConsumer pullOf(RocketDriver.Command c) {
        return (DefaultMQPullConsumer) RocketDriver.CLIENTS.get(c.name);
    }

    private static MessageQueue queueOf(RocketDriver.Command c) throws Exception {
        for (MessageQueue q : pullOf(c).fetchSubscribeMessageQueues(c.topic)) {
            if (q.getQueueId() == c.queue) {
                return q;
            }
        }
        throw new IllegalArgumentException("no queue " + c.queue + " of " + c.topic);
    }

    private static void pull(RocketDriver.Command c, RocketDriver.Answer a) throws Exception {
        MessageQueue q = queueOf(c);
        DefaultMQPullConsumer p = pullOf(c);
        PullResult r = "block".equals(c.mode) ? p.pullBlockIfNotFound(q, c.expr, c.offset, c.count) : p.pull(q, c.expr, c.offset, c.count, 15_000);
        a.status = r.getPullStatus().name();
        a.next = r.getNextBeginOffset();
        a.min = r.getMinOffset();
        a.max = r.getMaxOffset();
        a.msgs = list(r.getMsgFoundList());
    }

    private static List<RocketDriver.Msg> list(List<MessageExt> msgs) {
        List<RocketDriver.Msg> out = new ArrayList<>();
        if (msgs != null) {
            for (MessageExt m : msgs) {
                out.add(RocketDriver.of(m));
            }
        }
        return out;
    }

    private static void offsets(RocketDriver.Command c, RocketDriver.Answer a) throws Exception {
        MessageQueue q = queueOf(c);
        a.min = pullOf(c).minOffset(q);
        a.max = pullOf(c).maxOffset(q);
        a.next = pullOf(c).fetchConsumeOffset(q, true);
        a.at = c.begin > 0 ? pullOf(c).searchOffset(q, c.begin) : -1;
    }

    /** Commits, which is one-way. To ask for the offset at once would have the client take an older one for its own, and commit that when it ends. */
    private static void commit(RocketDriver.Command c) throws Exception {
        MessageQueue q = queueOf(c);
        pullOf(c).updateConsumeOffset(q, c.offset);
        pullOf(c).getOffsetStore().persist(q);
    }

    private static void back(RocketDriver.Command c) throws Exception {
        PullResult r = pullOf(c).pull(queueOf(c), "*", c.offset, 1);
        pullOf(c).sendMessageBack(r.getMsgFoundList().get(0), c.level);
    }

    private static void lite(RocketDriver.Command c) throws Exception {
        DefaultLitePullConsumer p = new DefaultLitePullConsumer(c.group);
        p.setNamesrvAddr(c.names);
        p.setInstanceName(c.name);
        p.setPollNameServerInterval(2_000); // not 30 s: the topic of retries comes with the first of them
        p.setVipChannelEnabled(false);
        p.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        p.setAutoCommit(!"manual".equals(c.mode));
        p.setPullBatchSize(c.batch > 1 ? c.batch : 32);
        if ("assign".equals(c.kind)) {
            p.start();
            p.assign(p.fetchMessageQueues(c.topic));
        } else {
            p.subscribe(c.topic, c.expr);
            p.start();
        }
        RocketDriver.CLIENTS.put(c.name, p);
        RocketDriver.CLOSERS.put(c.name, p::shutdown);
    }

    private static DefaultLitePullConsumer liteOf(RocketDriver.Command c) {
        return (DefaultLitePullConsumer) RocketDriver.CLIENTS.get(c.name);
    }

    /** Polls until c.count messages came or c.wait ms are over; mode "commit" commits what came. */
    private static void poll(RocketDriver.Command c, RocketDriver.Answer a) throws Exception {
        a.msgs = new ArrayList<>();
        long end = System.currentTimeMillis() + c.wait;
        while (a.msgs.size() < c.count && System.currentTimeMillis() < end) {
            a.msgs.addAll(list(liteOf(c).poll(100)));
        }
        if ("commit".equals(c.mode)) {
            Map<MessageQueue, Long> next = new HashMap<>();
            for (MessageQueue q : liteOf(c).assignment()) {
                for (RocketDriver.Msg m : a.msgs) {
                    if (m.queue == q.getQueueId()) {
                        next.merge(q, m.offset + 1, Math::max);
                    }
                }
            }
            liteOf(c).commitSync(next, true);
        }
        TreeSet<Integer> mine = new TreeSet<>();
        for (MessageQueue q : liteOf(c).assignment()) {
            mine.add(q.getQueueId());
        }
        a.queues = new ArrayList<>(mine);
    }

    /** Seeks a queue of an assigned consumer to an offset, or to the offset for a time; tells what is committed too. */
    private static void seek(RocketDriver.Command c, RocketDriver.Answer a) throws Exception {
        DefaultLitePullConsumer p = liteOf(c);
        for (MessageQueue q : p.fetchMessageQueues(c.topic)) {
            if (q.getQueueId() != c.queue) {
                continue;
            }
            Long committed = p.committed(q);
            a.next = committed == null ? -1 : committed;
            a.at = c.begin > 0 ? p.offsetForTimestamp(q, c.begin) : c.offset;
            if (!"ask".equals(c.mode)) {
                p.seek(q, a.at);
            }
            return;
        }
        throw new IllegalArgumentException("no queue " + c.queue + " of " + c.topic);
    }

    /** Looks messages up through a producer: by key, or by the id that the client gave (unique key) or the broker (offset id). */
    private static void query(RocketDriver.Command c, RocketDriver.Answer a) throws Exception {
        DefaultMQProducer p = (DefaultMQProducer) RocketDriver.CLIENTS.get(c.name);
        if ("key".equals(c.kind)) {
            QueryResult r = p.queryMessage(c.topic, c.key, c.count, c.begin, c.end);
            a.msgs = list(r.getMessageList());
        } else {
            MessageExt m = p.viewMessage(c.topic, c.key);
            a.msgs = m == null ? new ArrayList<>() : list(Collections.singletonList(m));
        }
    }
}
