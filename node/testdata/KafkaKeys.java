import java.util.List;
import java.util.TreeMap;
import org.apache.kafka.server.config.AbstractKafkaConfig;

/** Prints every configuration of a Kafka broker: name, type, default, and "internal" for those that Kafka does not document. */
public class KafkaKeys {
    public static void main(String[] args) {
        for (var k : new TreeMap<>(AbstractKafkaConfig.CONFIG_DEF.configKeys()).values()) {
            Object d = k.hasDefault() ? k.defaultValue : null;
            String text = d == null ? "" : d instanceof Class<?> c ? c.getName()
                : d instanceof List<?> l ? String.join(",", l.stream().map(String::valueOf).toList()) : d.toString();
            System.out.println(k.name + "\t" + k.type.name().toLowerCase() + "\t" + text + (k.internalConfig ? "\tinternal" : "\t"));
        }
    }
}
