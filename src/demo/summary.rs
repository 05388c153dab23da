//! The end of the demo: what a product owner would want to see, and whether every event is accounted for.

use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags};

use super::DemoError;
use super::feed::Fed;
use super::funnel::{Funnel, thousands};
use super::screen::Screen;
use super::stage::Stage;
use crate::pipeline::Reason;
use crate::simulate::card_steps;
use crate::telemetry::Snapshot;

const CONSUMERS: [&str; 3] = ["warehouse", "engagement", "monitoring"];
const BAR_WIDTH: usize = 28;

pub(super) struct Summary {
    funnel: Funnel,
    counts: Snapshot,
    fed_events: u64,
    fed_broken: u64,
    fed_users: u64,
    rate: f64,
    /// Messages that the receiver holds, and how many of them came more than once.
    messages: u64,
    repeated: u64,
    rows: u64,
    root: PathBuf,
    database: PathBuf,
}

impl Summary {
    pub fn of(stage: &Stage, fed: &Fed) -> Result<Summary, DemoError> {
        let database = stage.database();
        let steps: Vec<&str> = card_steps().collect();
        let seen = stage.receiver.seen();
        let connection = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let rows = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM page_views) + (SELECT count(*) FROM kyc_documents)";
        Ok(Summary {
            funnel: Funnel::read(&database, &steps)?,
            counts: stage.counts(),
            fed_events: fed.events,
            fed_broken: fed.broken,
            fed_users: fed.users,
            rate: fed.events as f64 / fed.took.as_secs_f64(),
            messages: seen.messages.len() as u64,
            repeated: seen.messages.values().filter(|&&times| times > 1).count() as u64,
            rows: connection.query_row(rows, [], |row| row.get::<_, i64>(0))?.unsigned_abs(),
            root: stage.root.clone(),
            database,
        })
    }

    /// Events in = accepted + rejected, all that was fed came in, and what was queued was delivered, ignored or is dead.
    pub fn adds_up(&self) -> bool {
        let events_in = self.count("analytica_events_in_total");
        let through = self.count("analytica_events_accepted_total") + self.count("analytica_events_rejected_total");
        let queued = self.count("analytica_deliveries_queued_total");
        self.fed_events == events_in && events_in == through && queued == self.count("analytica_deliveries_total") && self.stored()
    }

    /// The warehouse holds each row that was delivered, once.
    fn stored(&self) -> bool {
        self.rows == self.counts.count("analytica_deliveries_total", &[("consumer", "warehouse"), ("result", "delivered")])
    }

    fn count(&self, name: &str) -> u64 {
        self.counts.count(name, &[])
    }

    pub fn show(&self, screen: &Screen) {
        screen
            .heading(&format!("Where users drop off ({} simulated users; variant B shows another card offer)", thousands(self.fed_users)));
        screen.say(self.funnel.render(BAR_WIDTH).trim_end());
        screen.heading("What was delivered");
        screen.say(&self.deliveries());
        screen.say(&format!(
            "  {} messages at the receiver, {}.",
            thousands(self.messages),
            if self.repeated == 0 {
                "none of them twice".to_owned()
            } else {
                format!("{} of them twice, as their events were emitted twice", thousands(self.repeated))
            }
        ));
        screen.heading("What was rejected, and why");
        screen.say(&self.rejections());
        screen.heading("How fast");
        screen
            .say(&format!("  {} events/s, from the events topic's timestamp to the sink's acknowledgement:", thousands(self.rate as u64)));
        for consumer in CONSUMERS {
            screen.say(&format!("  {consumer:11} {}", self.latency(consumer)));
        }
        screen.heading(if self.adds_up() { "The counts add up" } else { "THE COUNTS DO NOT ADD UP" });
        screen.say(&self.account());
        screen.heading("What to try next");
        screen.say(&format!("  sqlite3 {} 'SELECT step, count(*) FROM events GROUP BY 1'", self.database.display()));
        screen.say(&format!("  analytica validate --root {}      # break a file in it first", self.root.display()));
        screen.say("  analytica simulate --users 3             # what came in, as NDJSON");
    }

    fn deliveries(&self) -> String {
        let mut text = format!("  {:11}  {:>9}  {:>9}  {:>13}  {:>6}", "consumer", "queued", "delivered", "already there", "dead");
        for consumer in CONSUMERS {
            let result =
                |result: &str| thousands(self.counts.count("analytica_deliveries_total", &[("consumer", consumer), ("result", result)]));
            let queued = thousands(self.counts.count("analytica_deliveries_queued_total", &[("consumer", consumer)]));
            let (delivered, ignored, dead) = (result("delivered"), result("ignored"), result("dead"));
            text.push_str(&format!("\n  {consumer:11}  {queued:>9}  {delivered:>9}  {ignored:>13}  {dead:>6}"));
        }
        text
    }

    fn rejections(&self) -> String {
        let counted = Reason::ALL
            .iter()
            .map(|reason| (reason.name(), self.counts.count("analytica_events_rejected_total", &[("reason", reason.name())])));
        let lines: Vec<String> =
            counted.filter(|(_, count)| *count > 0).map(|(name, count)| format!("  {name:18} {:>6}", thousands(count))).collect();
        lines.join("\n")
    }

    fn latency(&self, consumer: &str) -> String {
        let at = |quantile| match self.counts.quantile("analytica_end_to_end_duration_seconds", &[("consumer", consumer)], quantile) {
            Some(seconds) if seconds < 1.0 => format!("{} ms", seconds * 1000.0),
            Some(seconds) => format!("{seconds} s"),
            None => "-".to_owned(),
        };
        format!("p50 ≤ {:>7}   p95 ≤ {:>7}   p99 ≤ {:>7}", at(0.5), at(0.95), at(0.99))
    }

    fn account(&self) -> String {
        format!(
            "  events:     {} fed ({} of them broken) = {} accepted + {} rejected\n  deliveries: {} queued = {} delivered + {} already there + {} dead\n  warehouse:  {} rows for {} delivered",
            thousands(self.fed_events),
            thousands(self.fed_broken),
            thousands(self.count("analytica_events_accepted_total")),
            thousands(self.count("analytica_events_rejected_total")),
            thousands(self.count("analytica_deliveries_queued_total")),
            thousands(self.counts.count("analytica_deliveries_total", &[("result", "delivered")])),
            thousands(self.counts.count("analytica_deliveries_total", &[("result", "ignored")])),
            thousands(self.counts.count("analytica_deliveries_total", &[("result", "dead")])),
            thousands(self.rows),
            thousands(self.counts.count("analytica_deliveries_total", &[("consumer", "warehouse"), ("result", "delivered")])),
        )
    }
}
