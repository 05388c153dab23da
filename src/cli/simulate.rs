//! `analytica simulate`: synthetic journeys of the starter root as lines on stdout, or onto its events topics at a rate.

use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, poll_immediate};
use futures_util::stream::{FuturesUnordered, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{Common, Exit, report};
use crate::config::{Overrides, ProcessVariables, Settings};
use crate::kafka::{Ensured, Kafka, Output, OwnedTopic, ProduceError, Producer};
use crate::simulate::{LOAN_TOPIC, SimulatedEvent, Simulation, SimulationOptions, WEB_TOPIC};

/// Records produced and not acknowledged yet: of half a kilobyte each, 5 MB.
const MAX_IN_FLIGHT: usize = 10_000;

/// Bytes of the producer's buffers: ample for `MAX_IN_FLIGHT`, so that producing never waits for room and a user's events stay in order.
const BUFFERS: usize = 64 << 20;

/// Partitions of an events topic that is made here.
const PARTITIONS: u32 = 6;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  analytica simulate --users 10                                      ten people, as lines
  analytica simulate --events 100000 --to kafka --rate 2000          onto web.events and engine.loan
  analytica simulate --source web --with-keys | kcat -P -b 127.0.0.1:9092 -t web.events -K '\\t'")]
pub struct SimulateArgs {
    /// How many people apply [default: 1000, or as many as --events needs]
    #[arg(long, value_name = "N", conflicts_with = "events")]
    users: Option<u64>,
    /// Stop after this many events
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Another seed, other people
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Events a second [default: as fast as they are taken]
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// Share of events that are broken
    #[arg(long, value_name = "SHARE", default_value_t = 0.005, value_parser = share)]
    broken: f64,
    /// Share of events that are sent twice
    #[arg(long, value_name = "SHARE", default_value_t = 0.003, value_parser = share)]
    duplicates: f64,
    /// Share of events that arrive minutes to hours late
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    late: f64,
    /// When the first person arrives: RFC 3339, or `now`
    #[arg(long, value_name = "TIME", default_value_t = Start(SimulationOptions::START), value_parser = start)]
    start: Start,
    /// Which emitters speak
    #[arg(long, value_enum, default_value_t = Emitters::All)]
    source: Emitters,
    /// Where the events go
    #[arg(long, value_enum, default_value_t = To::Stdout)]
    to: To,
    /// Print `key<TAB>event`, as `kcat -K '\t'` reads it
    #[arg(long)]
    with_keys: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum To {
    /// One event a line
    Stdout,
    /// The events topics of the starter root, on the brokers of analytica.yaml
    Kafka,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Emitters {
    All,
    /// Apps and website (web.events)
    Web,
    /// The loan workflow engine (engine.loan)
    Loan,
}

impl Emitters {
    fn include(self, event: &SimulatedEvent) -> bool {
        match self {
            Emitters::All => true,
            Emitters::Web => event.topic == WEB_TOPIC,
            Emitters::Loan => event.topic == LOAN_TOPIC,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Start(Timestamp);

impl std::fmt::Display for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "now" => Ok(Start(Timestamp::now())),
        _ => text.parse().map(Start).map_err(|_| "expected a time such as 2026-01-05T08:00:00Z, or now".to_string()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0 to 1, such as 0.005".to_string()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.strip_suffix("/s").unwrap_or(text).parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err("expected events a second, such as 500".to_string()),
    }
}

pub fn run(common: &Common, args: &SimulateArgs) -> anyhow::Result<Exit> {
    let mut told = Told::default();
    let mut events = args.simulation();
    match args.to {
        To::Stdout => to_stdout(args, &mut events, &mut told).or_else(gone_reader)?,
        To::Kafka => {
            let root = common.root()?;
            let settings = match Settings::load(&root, &Overrides::default(), &ProcessVariables::new(&root)) {
                Ok(settings) => settings,
                Err(findings) => return report::refuse(&root, &findings),
            };
            let kafka = Kafka::new(&settings.kafka, &common.env).with_memory(BUFFERS, 1);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
            runtime.block_on(async {
                make_topics(&kafka, args.source).await?;
                to_kafka(args, &mut events, &mut told, Producer::new(&kafka)?).await
            })?;
        }
    }
    eprintln!("{} events, of them {} broken and {} sent twice", told.events, told.broken, told.twice);
    Ok(Exit::Done)
}

impl SimulateArgs {
    fn simulation(&self) -> Box<dyn Iterator<Item = SimulatedEvent> + Send> {
        let emitters = self.source;
        let users = self.users.unwrap_or(if self.events.is_some() { u64::MAX } else { 1000 });
        let options = SimulationOptions {
            users,
            start: self.start.0,
            broken: self.broken,
            duplicates: self.duplicates,
            late: self.late,
            ..SimulationOptions::new(self.seed)
        };
        let limit = usize::try_from(self.events.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        Box::new(Simulation::new(options).filter(move |event| emitters.include(event)).take(limit))
    }
}

/// What has been sent.
#[derive(Debug, Default)]
struct Told {
    events: u64,
    broken: u64,
    twice: u64,
}

impl Told {
    fn count(&mut self, event: &SimulatedEvent) {
        self.events += 1;
        self.broken += u64::from(event.broken.is_some());
        self.twice += u64::from(event.duplicate);
    }
}

/// `simulate | head` is not a failure: whoever read has read enough.
fn gone_reader(error: anyhow::Error) -> anyhow::Result<()> {
    match error.downcast_ref::<io::Error>() {
        Some(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    }
}

fn to_stdout(args: &SimulateArgs, events: &mut dyn Iterator<Item = SimulatedEvent>, told: &mut Told) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut pace = Pace::new(args.rate);
    for event in events {
        if let Some(wait) = pace.next_in() {
            out.flush()?;
            std::thread::sleep(wait);
        }
        if args.with_keys {
            out.write_all(event.key.as_bytes())?;
            out.write_all(b"\t")?;
        }
        out.write_all(&event.value)?;
        out.write_all(b"\n")?;
        told.count(&event);
    }
    Ok(out.flush()?)
}

/// Emitters own the events topics; where nobody has made them yet, a simulated emitter does.
async fn make_topics(kafka: &Kafka, emitters: Emitters) -> anyhow::Result<()> {
    let wanted: &[&str] = match emitters {
        Emitters::All => &[WEB_TOPIC, LOAN_TOPIC],
        Emitters::Web => &[WEB_TOPIC],
        Emitters::Loan => &[LOAN_TOPIC],
    };
    let there = tokio::task::block_in_place(|| kafka.partitions(wanted))?;
    let missing = wanted.iter().filter(|topic| !there.contains_key(**topic));
    let missing: Vec<_> = missing.map(|topic| OwnedTopic { name: (*topic).into(), partitions: PARTITIONS }).collect();
    for (topic, ensured) in missing.iter().zip(kafka.ensure_topics(missing.clone(), true).await?) {
        match ensured {
            Ensured::Wrong(error) => return Err(error.into()),
            Ensured::Present | Ensured::Created => eprintln!("made topic {} with {PARTITIONS} partitions", topic.name),
        }
    }
    Ok(())
}

/// Ctrl-C ends the sending and waits for what is in flight; a second one does not wait.
async fn to_kafka(
    args: &SimulateArgs,
    events: &mut (dyn Iterator<Item = SimulatedEvent> + Send),
    told: &mut Told,
    producer: Producer,
) -> anyhow::Result<()> {
    let bar = bar(args.events);
    let mut sending = Sending { producer, in_flight: FuturesUnordered::new() };
    tokio::select! {
        sent = sending.send(events, Pace::new(args.rate), |event| { told.count(event); bar.inc(1) }) => sent?,
        _ = tokio::signal::ctrl_c() => {}
    }
    let left = tokio::select! {
        drained = sending.drain() => { drained?; 0 }
        _ = tokio::signal::ctrl_c() => sending.in_flight.len(),
    };
    bar.finish_and_clear();
    anyhow::ensure!(left == 0, "stopped with {left} events that Kafka had not acknowledged");
    Ok(())
}

struct Sending {
    producer: Producer,
    in_flight: FuturesUnordered<BoxFuture<'static, Result<(), ProduceError>>>,
}

impl Sending {
    /// May be dropped at any await: what is in flight stays in `self`.
    async fn send(
        &mut self,
        events: &mut (dyn Iterator<Item = SimulatedEvent> + Send),
        mut pace: Pace,
        mut sent: impl FnMut(&SimulatedEvent),
    ) -> anyhow::Result<()> {
        for (number, event) in events.enumerate() {
            while self.in_flight.len() >= MAX_IN_FLIGHT {
                acknowledged(self.in_flight.next().await)?;
            }
            match pace.next_in() {
                Some(wait) => tokio::time::sleep(wait).await,
                // At full speed nothing else waits here: let Ctrl-C and the clock have their turn
                None if number % 256 == 0 => tokio::task::yield_now().await,
                None => {}
            }
            let output = Output::keyed(event.topic, event.key.as_bytes(), &event.value);
            let producer = self.producer.clone();
            let mut one = async move { producer.produce(output).await }.boxed();
            // The first poll hands the record over; done here, so that a user's events stay in order
            match poll_immediate(&mut one).await {
                Some(done) => acknowledged(Some(done))?,
                None => self.in_flight.push(one),
            }
            // Takes what is acknowledged, without waiting for more
            while let Some(Some(done)) = poll_immediate(self.in_flight.next()).await {
                acknowledged(Some(done))?;
            }
            sent(&event);
        }
        Ok(())
    }

    async fn drain(&mut self) -> anyhow::Result<()> {
        while let Some(done) = self.in_flight.next().await {
            acknowledged(Some(done))?;
        }
        Ok(())
    }
}

fn acknowledged(done: Option<Result<(), ProduceError>>) -> anyhow::Result<()> {
    done.unwrap_or(Ok(())).context("an event was not taken by Kafka")
}

/// When each event is due, without drifting: the n-th at n ÷ rate.
struct Pace {
    began: Instant,
    gap: Option<Duration>,
    sent: u32,
}

impl Pace {
    fn new(rate: Option<f64>) -> Pace {
        Pace { began: Instant::now(), gap: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)), sent: 0 }
    }

    /// How long to wait for the next event; None: it is due.
    fn next_in(&mut self) -> Option<Duration> {
        let due = self.began + self.gap? * self.sent;
        self.sent += 1;
        if self.sent == u32::MAX {
            // 4 billion events on: count from here, before the counter overflows
            (self.began, self.sent) = (due, 1);
        }
        due.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }
}

/// On stderr and only on a terminal: indicatif hides it elsewhere.
fn bar(events: Option<u64>) -> ProgressBar {
    let (bar, template) = match events {
        Some(events) => (ProgressBar::new(events), "{bar:40} {human_pos}/{human_len} events  {per_sec}  {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos} events  {per_sec}"),
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_rates_and_starts_are_checked() {
        assert_eq!(share("0.5"), Ok(0.5));
        assert!(share("2").is_err() && share("NaN").is_err() && share("x").is_err());
        assert_eq!(rate("200/s"), Ok(200.0));
        assert!(rate("0").is_err() && rate("-1").is_err() && rate("inf").is_err());
        assert!(start("2026-01-05T08:00:00Z").is_ok() && start("monday").is_err());
    }

    #[test]
    fn the_nth_event_is_due_at_n_divided_by_the_rate() {
        let mut pace = Pace::new(Some(0.01));
        assert_eq!(pace.next_in(), None, "the first one at once");
        let waits: Vec<_> = (0..3).map(|_| pace.next_in().expect("not due yet").as_secs_f64().ceil() as u64).collect();
        assert_eq!(waits, [100, 200, 300]);
        assert_eq!(Pace::new(None).next_in(), None);
    }
}
