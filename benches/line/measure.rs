//! Topics of one run, and a child process measured against them.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::w1::Event;

pub const PARTITIONS: i32 = 6;
/// Outputs that stop growing for so long are complete.
const STILL: Duration = Duration::from_secs(3);

pub fn brokers() -> String {
    std::env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS names no broker")
}

pub fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers());
    config
}

pub struct Figures {
    pub per_second: f64,
    pub cpu_micros: f64,
}

pub struct Topics {
    pub prefix: String,
}

impl Topics {
    pub fn create() -> Topics {
        let topics = Topics { prefix: format!("w1-{}", uuid::Uuid::new_v4().simple()) };
        create(&topics.events());
        topics
    }

    pub fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }

    pub fn fill(&self, events: &[Event]) {
        let mut config = client();
        config.set("linger.ms", "20").set("queue.buffering.max.messages", "2000000");
        let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("producer");
        let topic = self.events();
        for event in events {
            let record = BaseRecord::<str, [u8]>::to(&topic).key(&event.key).payload(&event.value);
            producer.send(record).map_err(|(error, _)| error).expect("produce");
        }
        producer.flush(Duration::from_secs(120)).expect("flush");
    }

    /// Runs the child until its outputs stop growing: rate from its first output to its last, CPU over its whole life.
    pub fn measure(&self, mut command: Command, events: usize, outputs: &[String]) -> Figures {
        let mut child = command.spawn().expect("start");
        let consumer: BaseConsumer = client().create().expect("consumer");
        let (mut first, mut last, mut seen) = (None, Instant::now(), 0);
        let deadline = Instant::now() + Duration::from_secs(300);
        while first.is_none() || last.elapsed() < STILL {
            assert!(Instant::now() < deadline, "no output in five minutes");
            std::thread::sleep(Duration::from_millis(20));
            let now = produced(&consumer, outputs);
            if now > seen {
                (seen, last) = (now, Instant::now());
                first.get_or_insert(last);
            }
        }
        assert!(seen as usize > 2 * events, "{seen} outputs of {events} events");
        let took = last - first.expect("an output");
        let cpu = cpu_seconds(&child);
        stop(&mut child);
        Figures { per_second: events as f64 / took.as_secs_f64(), cpu_micros: cpu * 1e6 / events as f64 }
    }
}

pub fn create(topic: &str) {
    let admin: AdminClient<DefaultClientContext> = client().create().expect("admin client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let topic = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    let made = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).expect("create topic");
    made.into_iter().for_each(|made| drop(made.expect("create topic")));
}

/// Records on all of these topics.
fn produced(consumer: &BaseConsumer, topics: &[String]) -> i64 {
    let high = |topic: &String, partition| consumer.fetch_watermarks(topic, partition, Duration::from_secs(5)).expect("watermarks").1;
    topics.iter().flat_map(|topic| (0..PARTITIONS).map(move |partition| high(topic, partition))).sum()
}

/// User and system time so far (proc(5): fields 14 and 15, in ticks of 1/100 s on every Linux).
fn cpu_seconds(child: &Child) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("stat");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks = |field: usize| fields[field - 3].parse::<f64>().expect("ticks");
    (ticks(14) + ticks(15)) / 100.0
}

fn stop(child: &mut Child) {
    child.kill().expect("kill");
    child.wait().expect("wait");
}
