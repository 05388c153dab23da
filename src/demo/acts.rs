//! The acts, in the order they are played, while events flow.

use std::time::Duration;

use super::DemoError;
use super::feed::{Fed, Feed};
use super::funnel::thousands;
use super::screen::Screen;
use super::stage::{Stage, TRACK};
use crate::config::human;

/// The event whose payload is shown before and after the edit.
const SHOWN: &str = "application_started";
const MARK: &str = "\"editedWhileEventsFlow\": true,";

pub(super) async fn users_arrive(stage: &Stage, feed: &Feed, screen: &Screen) -> Result<(), DemoError> {
    screen.act(1, "Users apply for a credit card, others for a loan");
    screen.say("   Every event is checked against its JSON Schema, routed, rendered, queued, and delivered: rows to SQLite, nudges to a");
    screen.say(
        "   receiver in Dittofeed's place, a line per step to a file. The broker is in this process; everything else is the real thing.",
    );
    flow_until(stage, feed, screen, 25).await?;
    let counts = stage.counts();
    screen.say(&format!(
        "   {} events in, {} accepted, {} rejected; {} rows in the warehouse, {} messages at the receiver.",
        thousands(counts.count("analytica_events_in_total", &[])),
        thousands(counts.count("analytica_events_accepted_total", &[])),
        thousands(counts.count("analytica_events_rejected_total", &[])),
        thousands(delivered(stage, "warehouse")),
        thousands(delivered(stage, "engagement")),
    ));
    Ok(())
}

pub(super) async fn a_template_is_edited(stage: &Stage, feed: &Feed, screen: &Screen) -> Result<(), DemoError> {
    screen.act(2, "A transform is edited while events flow");
    let before = stage.status.borrow().digest.clone();
    stage.wait("a first message at the receiver", |stage| stage.receiver.seen().last.contains_key(SHOWN)).await?;
    stage.edit(TRACK, |text| text.replacen("\"type\": \"track\",", &format!("\"type\": \"track\",\n  {MARK}"), 1))?;
    screen.say(&format!("   {TRACK}: one line added: {MARK}"));
    stage.wait("the edited transform to be live", |stage| stage.status.borrow().digest != before).await?;
    let edited =
        |stage: &Stage| stage.receiver.seen().last.get(SHOWN).is_some_and(|message| message.get("editedWhileEventsFlow").is_some());
    while !edited(stage) && !feed.is_over() {
        screen.progress(feed.fed(), feed.total, "");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let digest = stage.status.borrow().digest.clone();
    if let (Some(digest), Some(message)) = (digest, stage.receiver.seen().last.get(SHOWN)) {
        screen.say(&format!("   The set {} is live; the next {SHOWN} that the receiver got:", digest.short()));
        let text = format!("{message:#}");
        let lines: Vec<&str> = text.lines().take(9).collect();
        screen.say(&format!("     {}\n     …", lines.join("\n     ")));
    }
    flow_until(stage, feed, screen, 45).await
}

pub(super) async fn a_broken_edit_is_refused(stage: &Stage, feed: &Feed, screen: &Screen) -> Result<(), DemoError> {
    screen.act(3, "A broken edit is refused, and the last good set goes on");
    let good = stage.status.borrow().digest.clone();
    let mut kept = String::new();
    stage.edit(TRACK, |text| {
        kept.clone_from(&text);
        text.replacen("{{ event.event }}", "{{ event.event | uper }}", 1)
    })?;
    stage.wait("the broken edit to be refused", |stage| stage.status.borrow().refused.is_some()).await?;
    let refused = stage.status.borrow().refused.clone();
    if let Some(refused) = refused {
        for finding in refused.findings.iter() {
            let source = refused.files.get(&finding.at.file).map(|bytes| String::from_utf8_lossy(bytes));
            screen.say(&indented(&human(finding, &refused.findings, source.as_deref(), screen.colour())));
        }
    }
    let in_before = stage.counts().count("analytica_events_in_total", &[]);
    stage.edit(TRACK, |_| kept)?;
    stage.wait("the edit to be taken back", |stage| stage.status.borrow().refused.is_none()).await?;
    flow_until(stage, feed, screen, 60).await?;
    let flowed = stage.counts().count("analytica_events_in_total", &[]) - in_before;
    let same = if stage.status.borrow().digest == good { "the same set" } else { "another set" };
    screen.say(&format!("   {} more events flowed meanwhile, through {same}; the edit was taken back.", thousands(flowed)));
    Ok(())
}

pub(super) async fn the_receiver_goes_down(stage: &Stage, feed: &Feed, screen: &Screen) -> Result<(), DemoError> {
    screen.act(4, "The receiver goes down; the warehouse does not notice");
    stage.receiver.set_down(true);
    let (rows, nudges) = (delivered(stage, "warehouse"), delivered(stage, "engagement"));
    flow_until(stage, feed, screen, 80).await?;
    let waiting = stage.counts().count("analytica_queue_lag_records", &[("consumer", "engagement")]);
    screen.say(&format!(
        "   While it answered 503 (to {} calls): {} more deliveries to the warehouse, {} to engagement, whose queue holds about {}.",
        stage.receiver.refused(),
        thousands(delivered(stage, "warehouse") - rows),
        thousands(delivered(stage, "engagement") - nudges),
        thousands(waiting),
    ));
    stage.receiver.set_down(false);
    stage.wait("engagement to catch up", |stage| delivered(stage, "engagement") > nudges + waiting / 2).await?;
    screen.say("   It is back: the queue goes on by itself, in order.");
    Ok(())
}

pub(super) async fn the_rest_arrives(stage: &Stage, feed: Feed, screen: &Screen) -> Result<Fed, DemoError> {
    screen.act(5, "The rest arrives, and everything is accounted for");
    flow_until(stage, &feed, screen, 100).await?;
    let fed = feed.end().await?;
    let settled = |stage: &Stage| {
        let counts = stage.counts();
        let count = |name: &str| counts.count(name, &[]);
        count("analytica_events_in_total") >= fed.events
            && count("analytica_events_accepted_total") + count("analytica_events_rejected_total") >= fed.events
            && count("analytica_deliveries_total") >= count("analytica_deliveries_queued_total")
    };
    stage.wait("every delivery to be done", settled).await?;
    screen.done();
    Ok(fed)
}

/// Deliveries of a consumer that are done.
fn delivered(stage: &Stage, consumer: &str) -> u64 {
    stage.counts().count("analytica_deliveries_total", &[("consumer", consumer)])
}

async fn flow_until(stage: &Stage, feed: &Feed, screen: &Screen, percent: u64) -> Result<(), DemoError> {
    while !feed.reached(percent) && !feed.is_over() {
        screen.progress(
            feed.fed(),
            feed.total,
            format!("{} rows, {} messages", thousands(delivered(stage, "warehouse")), thousands(delivered(stage, "engagement"))),
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("     {line}\n")).collect::<String>().trim_end().to_owned()
}
