// Kafka's own client, with headers as OpenTelemetry's Java agent and as hand-made code write them.
// `produce topic`: two records. `consume topic`: prints the traceparent of the first record.
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Records {
    static final String TRACE = "0af7651916cd43dd8448eb211c80319c";
    static final String SPAN = "b7ad6b7169203331";

    public static void main(String[] args) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", args[0]);
        if (args[1].equals("produce")) {
            produce(config, args[2]);
        } else {
            consume(config, args[2]);
        }
    }

    static void produce(Map<String, Object> config, String topic) throws Exception {
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            var agent = new ProducerRecord<>(topic, 0, "4711", "agent");
            agent.headers().add("traceparent", bytes("00-" + TRACE + "-" + SPAN + "-01"));
            agent.headers().add("tracestate", bytes("vendor=1"));
            producer.send(agent).get();
            var handmade = new ProducerRecord<>(topic, 0, "4711", "handmade");
            handmade.headers().add("trace_id", bytes(TRACE));
            handmade.headers().add("span_id", bytes(SPAN));
            handmade.headers().add("null", null);
            producer.send(handmade).get();
        }
    }

    static void consume(Map<String, Object> config, String topic) {
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            var partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            for (int tries = 0; tries < 60; tries++) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
                    byte[] value = record.headers().lastHeader("traceparent").value();
                    System.out.println(new String(value, StandardCharsets.UTF_8));
                    return;
                }
            }
        }
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
