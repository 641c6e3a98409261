//! The attribute names that have a meaning here, each spelling of each generation of the conventions.

/// A set of [`Name`]s.
pub(crate) type Names = u128;

macro_rules! names {
    ($($variant:ident = $text:literal,)*) => {
        /// An attribute name with a meaning. `Other` is every name without one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[expect(clippy::enum_variant_names, reason = "the conventions call them names")]
        pub(crate) enum Name { Other = 0, $($variant,)* }

        impl Name {
            /// The name that is spelled so.
            pub(crate) fn of(text: &[u8]) -> Self {
                $(if text == $text.as_bytes() { return Self::$variant; })*
                Self::Other
            }
        }

        #[cfg(test)]
        const ALL: &[(Name, &str)] = &[$((Name::$variant, $text),)*];
    };
}

names! {
    System = "messaging.system",
    OperationName = "messaging.operation.name",
    OperationType = "messaging.operation.type",
    Operation = "messaging.operation",
    DestinationName = "messaging.destination.name",
    Destination = "messaging.destination",
    DestinationTemplate = "messaging.destination.template",
    DestinationKind = "messaging.destination_kind",
    SourceName = "messaging.source.name",
    Source = "messaging.source",
    PartitionId = "messaging.destination.partition.id",
    KafkaDestinationPartition = "messaging.kafka.destination.partition",
    KafkaSourcePartition = "messaging.kafka.source.partition",
    KafkaPartition = "messaging.kafka.partition",
    KafkaOffset = "messaging.kafka.offset",
    KafkaMessageOffset = "messaging.kafka.message.offset",
    KafkaMessageKey = "messaging.kafka.message.key",
    KafkaMessageKeyOld = "messaging.kafka.message_key",
    KafkaClusterId = "messaging.kafka.cluster.id",
    KafkaConsumerGroup = "messaging.kafka.consumer.group",
    KafkaConsumerGroupOld = "messaging.kafka.consumer_group",
    KafkaClientId = "messaging.kafka.client_id",
    GroupName = "messaging.consumer.group.name",
    SubscriptionName = "messaging.destination.subscription.name",
    RocketmqClientGroup = "messaging.rocketmq.client_group",
    RocketmqConsumerGroup = "messaging.rocketmq.consumer_group",
    RocketmqClientId = "messaging.rocketmq.client_id",
    EventhubsConsumerGroup = "messaging.eventhubs.consumer.group",
    NatsConsumerGroup = "messaging.nats.consumer.group",
    ClientId = "messaging.client.id",
    ClientIdOld = "messaging.client_id",
    ConsumerId = "messaging.consumer.id",
    ConsumerIdOld = "messaging.consumer_id",
    MessageId = "messaging.message.id",
    MessageIdOld = "messaging.message_id",
    ConversationId = "messaging.message.conversation_id",
    ConversationIdOld = "messaging.conversation_id",
    BodySize = "messaging.message.body.size",
    PayloadSize = "messaging.message.payload_size_bytes",
    PayloadSizeOld = "messaging.message_payload_size_bytes",
    ClusterName = "messaging.cluster.name",
    Url = "messaging.url",
    RabbitmqExchange = "messaging.rabbitmq.exchange",
    RabbitmqQueue = "messaging.rabbitmq.queue",
    RabbitmqRoutingKey = "messaging.rabbitmq.destination.routing_key",
    RabbitmqRoutingKeyOld = "messaging.rabbitmq.routing_key",
    RabbitmqStreamOffset = "messaging.rabbitmq.stream.offset",
    NatsStream = "messaging.nats.stream",
    NatsSequence = "messaging.nats.sequence",
    NatsSubject = "messaging.nats.subject",
    NatsMessageSubject = "messaging.nats.message.subject",
    RocketmqLogicalTopic = "messaging.rocketmq.logical_topic",
    RocketmqBrokerName = "messaging.rocketmq.broker.name",
    RocketmqBrokerNameOld = "messaging.rocketmq.broker_name",
    RocketmqQueueId = "messaging.rocketmq.queue.id",
    RocketmqQueueIdOld = "messaging.rocketmq.queue_id",
    RocketmqQueueOffset = "messaging.rocketmq.queue.offset",
    RocketmqQueueOffsetOld = "messaging.rocketmq.queue_offset",
    RocketmqMessageKeys = "messaging.rocketmq.message.keys",
    RocketmqMessageKeysOld = "messaging.rocketmq.message_keys",
    PubsubDeliveryAttempt = "messaging.gcp_pubsub.message.delivery_attempt",
    ServerAddress = "server.address",
    ServerPort = "server.port",
    PeerAddress = "network.peer.address",
    PeerPort = "network.peer.port",
    NetPeerName = "net.peer.name",
    NetPeerIp = "net.peer.ip",
    NetPeerPort = "net.peer.port",
    NetSockPeerAddr = "net.sock.peer.addr",
    NetSockPeerPort = "net.sock.peer.port",
    ErrorType = "error.type",
    ExceptionType = "exception.type",
    ExceptionMessage = "exception.message",
    Keys = "hopscope.keys",
    Attempt = "hopscope.attempt",
    Outcome = "hopscope.outcome",
    Disposition = "hopscope.disposition",
    BrokerTime = "hopscope.broker_time",
    OriginTime = "hopscope.origin_time",
    ProgressNext = "hopscope.progress.next",
    ServiceName = "service.name",
    ServiceInstance = "service.instance.id",
}

impl Name {
    /// The set of this name alone.
    pub(crate) const fn bit(self) -> Names {
        1 << self as u8
    }
}

/// All spellings of one thing, the newest first.
pub(crate) struct Spellings {
    pub names: &'static [Name],
    pub set: Names,
}

impl Spellings {
    const fn new(names: &'static [Name]) -> Self {
        let (mut set, mut index) = (0, 0);
        while index < names.len() {
            set |= names[index].bit();
            index += 1;
        }
        Self { names, set }
    }
}

macro_rules! spellings {
    ($($(#[$meta:meta])* $constant:ident: $($name:ident)*;)*) => {
        $($(#[$meta])* pub(crate) const $constant: Spellings = Spellings::new(&[$(Name::$name,)*]);)*
    };
}

spellings! {
    /// What makes a span a messaging span.
    MESSAGING: System OperationName OperationType Operation DestinationName Destination SourceName Source;
    OPERATION_WORD: OperationName Operation OperationType;
    CLUSTER: ClusterName KafkaClusterId;
    DESTINATION: DestinationName Destination SourceName Source NatsMessageSubject NatsSubject;
    SOURCE: SourceName Source;
    PARTITION: PartitionId KafkaDestinationPartition KafkaSourcePartition KafkaPartition;
    KAFKA_OFFSET: KafkaOffset KafkaMessageOffset;
    GROUP: GroupName KafkaConsumerGroup KafkaConsumerGroupOld RocketmqConsumerGroup RocketmqClientGroup
        EventhubsConsumerGroup NatsConsumerGroup SubscriptionName;
    CLIENT: ClientId ClientIdOld KafkaClientId RocketmqClientId ConsumerId ConsumerIdOld;
    MESSAGE_ID: MessageId MessageIdOld;
    CORRELATION: ConversationId ConversationIdOld;
    BODY_BYTES: BodySize PayloadSize PayloadSizeOld;
    ROUTING_KEY: RabbitmqRoutingKey RabbitmqRoutingKeyOld;
    ROCKETMQ_BROKER: RocketmqBrokerName RocketmqBrokerNameOld;
    ROCKETMQ_QUEUE: RocketmqQueueId RocketmqQueueIdOld;
    ROCKETMQ_OFFSET: RocketmqQueueOffset RocketmqQueueOffsetOld;
    KEYS: Keys KafkaMessageKey KafkaMessageKeyOld RocketmqMessageKeys RocketmqMessageKeysOld;
    ATTEMPT: Attempt PubsubDeliveryAttempt;
    ANY_SERVER: ServerAddress NetPeerName PeerAddress NetSockPeerAddr NetPeerIp Url;
}

/// Address and port of the broker, best first.
pub(crate) const SERVERS: [(Name, Name); 5] = [
    (Name::ServerAddress, Name::ServerPort),
    (Name::NetPeerName, Name::NetPeerPort),
    (Name::PeerAddress, Name::PeerPort),
    (Name::NetSockPeerAddr, Name::NetSockPeerPort),
    (Name::NetPeerIp, Name::NetPeerPort),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found_and_fits_the_set() {
        assert!(ALL.len() < 128, "a set of names has 128 bits");
        for (name, text) in ALL {
            assert_eq!(Name::of(text.as_bytes()), *name, "{text}");
        }
        assert_eq!(Name::of(b"http.request.method"), Name::Other);
    }
}
