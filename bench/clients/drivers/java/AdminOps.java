import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ClassicGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.config.ConfigResource;

/** The operations of the Java client's Admin as package spec names them. */
final class AdminOps {
    interface Op {
        void run(Admin a, Driver.Session s, ObjectNode out) throws Exception;
    }

    static final Map<String, Op> TABLE = new HashMap<>();

    static {
        TABLE.put("create_topic", AdminOps::createTopic);
        TABLE.put("list_topics", (a, s, out) -> {
            ArrayNode list = out.putArray("topics");
            Driver.get(a.listTopics().names()).forEach(list::add);
        });
        TABLE.put("describe_topic", AdminOps::describeTopic);
        TABLE.put("delete_topic", (a, s, out) -> Driver.get(a.deleteTopics(List.of(s.text("topic"))).all()));
        TABLE.put("create_partitions", (a, s, out) -> Driver.get(a.createPartitions(
                Map.of(s.text("topic"), NewPartitions.increaseTo(s.partitions())), new CreatePartitionsOptions().validateOnly(check(s))).all()));
        TABLE.put("describe_configs", AdminOps::describeConfigs);
        TABLE.put("incremental_configs", AdminOps::incrementalConfigs);
        TABLE.put("list_config_resources", (a, s, out) -> {
            ArrayNode list = out.putArray("topics");
            Driver.get(a.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new org.apache.kafka.clients.admin.ListConfigResourcesOptions()).all())
                    .forEach(r -> list.add(r.name()));
        });
        TABLE.put("delete_records", AdminOps::deleteRecords);
        TABLE.put("list_offsets", AdminOps::listOffsets);
        TABLE.put("list_groups", (a, s, out) -> {
            ArrayNode list = out.putArray("groups");
            for (GroupListing g : Driver.get(a.listGroups().all())) {
                list.add(g.groupId());
            }
        });
        TABLE.put("describe_group", AdminOps::describeGroup);
        TABLE.put("describe_classic_group", AdminOps::describeClassicGroup);
        TABLE.put("delete_group", (a, s, out) -> Driver.get(a.deleteConsumerGroups(List.of(s.text("group"))).all()));
        TABLE.put("group_offsets", AdminOps::groupOffsets);
        TABLE.put("alter_group_offsets", AdminOps::alterGroupOffsets);
        TABLE.put("delete_group_offsets", (a, s, out) -> Driver.get(a.deleteConsumerGroupOffsets(s.text("group"), offsets(s).keySet()).all()));
        TABLE.put("remove_member", (a, s, out) -> Driver.get(a.removeMembersFromConsumerGroup(s.text("group"),
                new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove(s.text("instance"))))).all()));
        TABLE.put("describe_cluster", AdminOps::describeCluster);
        TABLE.put("log_dirs", AdminOps::logDirs);
        TABLE.put("describe_producers", AdminOps::describeProducers);
    }

    private AdminOps() {}

    static ObjectNode run(Driver.Session s) throws Exception {
        Op op = TABLE.get(s.text("op"));
        if (op == null) {
            throw new Driver.Unsupported("the client has no such call");
        }
        ObjectNode out = Driver.JSON.createObjectNode();
        try (Admin a = Admin.create(Driver.config(s))) {
            op.run(a, s, out);
        }
        return out;
    }

    static boolean check(Driver.Session s) {
        return s.c.path("validate").asBoolean(false);
    }

    static Map<String, String> configs(Driver.Session s) {
        Map<String, String> m = new HashMap<>();
        s.c.path("configs").properties().forEach(e -> m.put(e.getKey(), e.getValue().asText()));
        return m;
    }

    static Map<TopicPartition, Long> offsets(Driver.Session s) {
        Map<TopicPartition, Long> m = new HashMap<>();
        s.c.path("offsets").properties().forEach(e -> m.put(new TopicPartition(s.text("topic"), Integer.parseInt(e.getKey())), e.getValue().asLong()));
        return m;
    }

    static void createTopic(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        NewTopic t = new NewTopic(s.text("topic"), Optional.of(s.partitions()), Optional.of((short) 1)).configs(configs(s));
        Driver.get(a.createTopics(List.of(t), new CreateTopicsOptions().validateOnly(check(s))).all());
    }

    static void describeTopic(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        TopicDescription d = Driver.get(a.describeTopics(List.of(s.text("topic"))).allTopicNames()).get(s.text("topic"));
        ArrayNode layout = out.putArray("layout");
        for (TopicPartitionInfo p : d.partitions()) {
            ObjectNode o = layout.addObject().put("id", p.partition()).put("leader", p.leader().id());
            ArrayNode replicas = o.putArray("replicas");
            p.replicas().forEach(n -> replicas.add(n.id()));
            ArrayNode isr = o.putArray("isr");
            p.isr().forEach(n -> isr.add(n.id()));
        }
    }

    static ConfigResource resource(Driver.Session s) {
        return new ConfigResource(s.text("type").equals("broker") ? ConfigResource.Type.BROKER : ConfigResource.Type.TOPIC, s.text("name"));
    }

    static void describeConfigs(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        Config c = Driver.get(a.describeConfigs(List.of(resource(s))).all()).get(resource(s));
        ObjectNode values = out.putObject("values");
        ArrayNode changed = out.putArray("changed");
        for (ConfigEntry e : c.entries()) {
            if (e.value() != null) {
                values.put(e.name(), e.value());
            }
            if (e.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG || e.source() == ConfigEntry.ConfigSource.DYNAMIC_BROKER_CONFIG) {
                changed.add(e.name());
            }
        }
    }

    static void incrementalConfigs(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        List<AlterConfigOp> ops = new ArrayList<>();
        for (JsonNode o : s.c.path("ops")) {
            ConfigEntry e = new ConfigEntry(o.path("key").asText(), o.path("value").asText(""));
            ops.add(new AlterConfigOp(e, AlterConfigOp.OpType.valueOf(o.path("op").asText().toUpperCase(java.util.Locale.ROOT))));
        }
        Driver.get(a.incrementalAlterConfigs(Map.of(resource(s), ops), new AlterConfigsOptions().validateOnly(check(s))).all());
    }

    static void deleteRecords(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        Map<TopicPartition, RecordsToDelete> before = new HashMap<>();
        offsets(s).forEach((tp, o) -> before.put(tp, RecordsToDelete.beforeOffset(o)));
        ObjectNode low = out.putObject("offsets");
        for (var e : a.deleteRecords(before).lowWatermarks().entrySet()) {
            low.put(Integer.toString(e.getKey().partition()), Driver.get(e.getValue()).lowWatermark());
        }
    }

    static void listOffsets(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        Map<String, Supplier<OffsetSpec>> fixed = Map.of("earliest", OffsetSpec::earliest, "latest", OffsetSpec::latest, "max", OffsetSpec::maxTimestamp);
        String at = s.text("at");
        OffsetSpec spec = fixed.containsKey(at) ? fixed.get(at).get() : OffsetSpec.forTimestamp(Long.parseLong(at));
        Map<TopicPartition, OffsetSpec> ask = new HashMap<>();
        for (int p = 0; p < s.partitions(); p++) {
            ask.put(new TopicPartition(s.text("topic"), p), spec);
        }
        ObjectNode o = out.putObject("offsets");
        Driver.get(a.listOffsets(ask).all()).forEach((tp, r) -> o.put(Integer.toString(tp.partition()), r.offset()));
    }

    static void describeGroup(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        ConsumerGroupDescription g = Driver.get(a.describeConsumerGroups(List.of(s.text("group"))).all()).get(s.text("group"));
        out.put("state", g.groupState().toString()).put("protocol", g.partitionAssignor());
        members(g.members(), s, out);
    }

    static void describeClassicGroup(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        ClassicGroupDescription g = Driver.get(a.describeClassicGroups(List.of(s.text("group"))).all()).get(s.text("group"));
        out.put("state", g.state().toString()).put("protocol", g.protocolData());
        members(g.members(), s, out);
    }

    static void members(Iterable<MemberDescription> all, Driver.Session s, ObjectNode out) {
        ArrayNode list = out.putArray("members");
        for (MemberDescription m : all) {
            ObjectNode o = list.addObject().put("client", m.clientId()).put("instance", m.groupInstanceId().orElse(""));
            ArrayNode parts = o.putArray("partitions");
            m.assignment().topicPartitions().stream().filter(tp -> tp.topic().equals(s.text("topic"))).forEach(tp -> parts.add(tp.partition()));
        }
    }

    static void groupOffsets(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        ObjectNode o = out.putObject("offsets");
        Driver.get(a.listConsumerGroupOffsets(s.text("group")).partitionsToOffsetAndMetadata()).forEach((tp, at) -> {
            if (tp.topic().equals(s.text("topic")) && at != null) {
                o.put(Integer.toString(tp.partition()), at.offset());
            }
        });
    }

    static void alterGroupOffsets(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> to = new HashMap<>();
        offsets(s).forEach((tp, o) -> to.put(tp, new OffsetAndMetadata(o)));
        Driver.get(a.alterConsumerGroupOffsets(s.text("group"), to).all());
    }

    static void describeCluster(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        DescribeClusterResult r = a.describeCluster();
        out.put("cluster", Driver.get(r.clusterId())).put("lead", Driver.get(r.controller()).id());
        ArrayNode list = out.putArray("brokers");
        Driver.get(r.nodes()).forEach(n -> list.add(n.id() + "@" + n.host() + ":" + n.port()));
    }

    static void logDirs(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        List<Integer> brokers = new ArrayList<>();
        Driver.get(a.describeCluster().nodes()).forEach(n -> brokers.add(n.id()));
        ObjectNode sizes = out.putObject("offsets");
        for (var dirs : Driver.get(a.describeLogDirs(brokers).allDescriptions()).values()) {
            for (var d : dirs.values()) {
                if (d.error() != null) {
                    throw d.error();
                }
                d.replicaInfos().forEach((tp, info) -> {
                    if (tp.topic().equals(s.text("topic"))) {
                        sizes.put(Integer.toString(tp.partition()), info.size());
                    }
                });
            }
        }
    }

    static void describeProducers(Admin a, Driver.Session s, ObjectNode out) throws Exception {
        List<TopicPartition> parts = new ArrayList<>();
        for (int p = 0; p < s.partitions(); p++) {
            parts.add(new TopicPartition(s.text("topic"), p));
        }
        ArrayNode ids = out.putArray("ids");
        Driver.get(a.describeProducers(parts).all()).values().forEach(st -> st.activeProducers().forEach(p -> ids.add(p.producerId())));
    }
}
