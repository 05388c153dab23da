//! Workload W1, the reference of DESIGN.md's budgets: onboarding events of nine names and about 430 bytes, a schema of thirteen fields each, 0.5 % of them
//! invalid, three consumers: every event to a warehouse (seven columns), a third of them through a template of fifteen lines, every event to monitoring.

use std::fmt::Write as _;

use analytica::config::Files;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const NAMES: [&str; 9] = [
    "application_started",
    "personal_details_submitted",
    "income_declared",
    "kyc_started",
    "kyc_submitted",
    "card_offer_shown",
    "card_selected",
    "agreement_signed",
    "card_activated",
];

/// One record: key and value.
pub struct Event {
    pub key: String,
    pub value: Vec<u8>,
}

/// The same seed makes the same events.
pub fn events(count: usize, seed: u64) -> Vec<Event> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| event(&mut rng)).collect()
}

fn event(rng: &mut impl Rng) -> Event {
    let user = format!("user-{:06}", rng.random_range(0..50_000));
    let name = NAMES[rng.random_range(0..NAMES.len())];
    let invalid = rng.random_bool(0.005);
    let step = if invalid { "\"seven\"".to_owned() } else { rng.random_range(1..=9).to_string() };
    let (a, b): (u64, u64) = (rng.random(), rng.random());
    let id = uuid::Uuid::from_u64_pair(a, b);
    let variant = if rng.random_bool(0.5) { "A" } else { "B" };
    let channel = ["web", "ios", "android"][rng.random_range(0..3)];
    let amount = rng.random_range(100..9_999);
    let value = format!(
        r#"{{"type":"track","event":"{name}","messageId":"{id}","userId":"{user}","timestamp":"2026-03-01T10:{:02}:{:02}.000Z","context":{{"ip":"192.0.2.7","locale":"en-GB","library":"web-sdk"}},"properties":{{"journey":"credit_card","journey_id":"j-{user}","step":{step},"variant":"{variant}","channel":"{channel}","product":"gold-card","amount":{amount}.50,"first_visit":true,"country":"DE"}}}}"#,
        rng.random_range(0..60),
        rng.random_range(0..60),
    );
    Event { key: user, value: value.into_bytes() }
}

/// The config root, its one source listening to `topic`.
pub fn root(topic: &str) -> Vec<(String, String)> {
    let mut files = vec![
        ("sources.yaml".to_owned(), format!("version: 1\nsources:\n  web: {{ topics: [{topic}], envelope: segment }}\n")),
        ("transforms/track.json.j2".to_owned(), TRACK.to_owned()),
        ("transforms/monitor.json.j2".to_owned(), MONITOR.to_owned()),
        ("consumers/warehouse.yaml".to_owned(), WAREHOUSE.to_owned()),
        ("consumers/engagement.yaml".to_owned(), ENGAGEMENT.to_owned()),
        ("consumers/monitoring.yaml".to_owned(), MONITORING.to_owned()),
    ];
    for name in NAMES {
        files.push((format!("schemas/{name}/1.json"), schema(name)));
    }
    files
}

/// The same root in memory.
#[allow(dead_code, reason = "each bench uses one of the two forms")]
pub fn files(topic: &str) -> Files {
    root(topic).into_iter().map(|(path, text)| (path, text.into_bytes())).collect()
}

fn schema(name: &str) -> String {
    let mut text = String::new();
    // writing to a String cannot fail
    let _ = write!(
        text,
        r#"{{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",
"required":["type","event","messageId","userId","timestamp","properties"],
"properties":{{"type":{{"const":"track"}},"event":{{"const":"{name}"}},"messageId":{{"type":"string","format":"uuid"}},
"userId":{{"type":"string","minLength":1,"maxLength":64}},"timestamp":{{"type":"string","format":"date-time"}},
"properties":{{"type":"object","required":["journey","journey_id","step","variant"],"properties":{{
"journey":{{"enum":["credit_card","personal_loan"]}},"journey_id":{{"type":"string","pattern":"^j-[a-z0-9-]+$"}},
"step":{{"type":"integer","minimum":1,"maximum":20}},"variant":{{"enum":["A","B"]}},"channel":{{"enum":["web","ios","android"]}},
"product":{{"type":"string"}},"amount":{{"type":"number","minimum":0}},"country":{{"type":"string","pattern":"^[A-Z]{{2}}$"}}}}}}}}}}"#
    );
    text
}

const TRACK: &str = r#"{% set p = event.properties -%}
{
  "type": "track",
  "messageId": {{ delivery_id }},
  "userId": {{ event.userId }},
  "event": {{ event.event }},
  "timestamp": {{ event.timestamp }},
  "properties": {
    "step": {{ p.step }}, "variant": {{ p.variant | lower }},
    {% if p.amount > 5000 %}"segment": "high",{% endif %}
    "title": "Your {{ p.product }} awaits",
    "renderId": {{ uuid4() }},
    "renderedAt": {{ now() }}
  }
}
"#;

const MONITOR: &str = r#"{"event": {{ event.event }}, "step": {{ event.properties.step }}, "variant": {{ event.properties.variant }}, "at": {{ event.timestamp }}}
"#;

const WAREHOUSE: &str = r#"version: 1
sink: { type: warehouse, url: "sqlite:var/w1.db" }
routes:
  - name: events
    events: ["*"]
    table: { name: events, key: [event_id] }
    columns:
      event_id: event.messageId
      user_id: event.userId
      event: event.event
      journey: event.properties.journey
      step: event.properties.step
      variant: event.properties.variant
      at: event.timestamp
"#;

const ENGAGEMENT: &str = r#"version: 1
sink: { type: queue }
routes:
  - name: track
    events: [application_started, kyc_started, card_selected]
    transform: track.json.j2
"#;

const MONITORING: &str = r#"version: 1
sink: { type: queue }
routes:
  - name: steps
    events: ["*"]
    transform: monitor.json.j2
"#;
