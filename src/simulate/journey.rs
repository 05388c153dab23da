//! What a person does: the steps of a credit-card application or a personal loan with their drop-off, and the pages looked at on the way.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::person::Person;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// An event as its emitter means it, before the road to Kafka has done anything to it.
pub(super) struct Planned {
    pub at: Timestamp,
    pub name: &'static str,
    pub emitter: Emitter,
    pub event: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Emitter {
    Web,
    Loan,
}

/// A step of the card journey: who has come this far goes on to it with this chance, after this pause on average.
struct Step {
    event: &'static str,
    name: &'static str,
    reached: f64,
    pause: i64,
}

const CARD: [Step; 11] = [
    Step { event: "application_started", name: "start", reached: 1.0, pause: 30 * SECOND },
    Step { event: "personal_details_submitted", name: "personal_details", reached: 0.84, pause: 3 * MINUTE },
    Step { event: "income_declared", name: "income", reached: 0.88, pause: 2 * MINUTE },
    Step { event: "kyc_started", name: "kyc_start", reached: 0.86, pause: 4 * MINUTE },
    Step { event: "kyc_submitted", name: "kyc_documents", reached: 0.74, pause: 9 * MINUTE },
    Step { event: "kyc_approved", name: "kyc_approval", reached: 0.91, pause: 40 * MINUTE },
    Step { event: "card_offer_shown", name: "offer", reached: 0.96, pause: 20 * MINUTE },
    Step { event: "card_selected", name: "card_choice", reached: 0.66, pause: 5 * MINUTE },
    Step { event: "agreement_signed", name: "agreement", reached: 0.9, pause: 12 * MINUTE },
    Step { event: "card_issued", name: "issuing", reached: 0.985, pause: 2 * HOUR },
    Step { event: "card_activated", name: "activation", reached: 0.82, pause: 20 * HOUR },
];

/// Event names of the card journey's steps, in their order.
pub fn card_steps() -> impl Iterator<Item = &'static str> {
    CARD.iter().map(|step| step.event)
}

const LOAN: [Step; 4] = [
    Step { event: "loan_requested", name: "request", reached: 1.0, pause: MINUTE },
    Step { event: "loan_scored", name: "scoring", reached: 0.97, pause: 20 * SECOND },
    Step { event: "loan_offer_accepted", name: "offer", reached: 0.55, pause: 30 * MINUTE },
    Step { event: "loan_paid_out", name: "payout", reached: 0.95, pause: 3 * HOUR },
];

impl Step {
    /// Who goes on. Variant b shows the recommended card first: more people choose one. A clerk in the branch helps through the identity check, and
    /// Android's camera does not.
    fn chance(&self, person: &Person) -> f64 {
        match (self.event, person.variant, person.channel) {
            ("card_selected", "b", _) => 0.84,
            ("kyc_submitted", _, "branch") => 0.97,
            ("kyc_submitted", _, "android") => 0.66,
            _ => self.reached,
        }
    }
}

/// Everything one person does from `start` on, in order of time.
pub(super) fn plan(person: &Person, start: Timestamp, options: &super::SimulationOptions, dice: &mut Dice) -> Vec<Planned> {
    let mut walk = Walk { person, at: start, planned: Vec::with_capacity(16) };
    if dice.chance(options.loans) {
        walk.loan(dice);
        return walk.planned;
    }
    let views = 1 + dice.below(2);
    for _ in 0..views {
        walk.view(None, dice);
    }
    // Some only look around
    if dice.chance(0.9) {
        walk.card(options, dice);
    }
    walk.planned
}

struct Walk<'a> {
    person: &'a Person,
    at: Timestamp,
    planned: Vec<Planned>,
}

impl Walk<'_> {
    fn card(&mut self, options: &super::SimulationOptions, dice: &mut Dice) {
        let journey = format!("app-{}", dice.letters(10));
        let card = format!("card-{}", dice.letters(8));
        for (index, step) in CARD.iter().enumerate() {
            if !dice.chance(step.chance(self.person)) {
                return;
            }
            if dice.chance(options.page_views) {
                self.view(Some(&journey), dice);
            }
            self.wait(step.pause, dice);
            let mut properties = fields(json!({
                "journey_id": journey, "step": step.name, "step_number": index + 1,
                "variant": self.person.variant, "channel": self.person.channel, "product": self.person.product,
            }));
            properties.extend(fields(self.details(step.event, &card, dice)));
            let version = (step.event == "card_selected" && self.person.new_app).then_some(2);
            self.track(step.event, properties, true, version, dice);
        }
    }

    /// What a step of the card journey says beside the fields that all of them have.
    fn details(&self, event: &str, card: &str, dice: &mut Dice) -> Value {
        let person = self.person;
        let method = if person.channel == "branch" { "in_branch" } else { "documents" };
        match event {
            "application_started" => match dice.chance(0.4) {
                true => json!({ "campaign": dice.pick(&["autumn-cashback", "refer-a-friend", "student"]), "returning": dice.chance(0.1) }),
                false => json!({ "returning": dice.chance(0.1) }),
            },
            "personal_details_submitted" => json!({
                "first_name": person.first_name, "last_name": person.last_name, "email": format!("{}@example.org", person.user),
                "phone": person.phone, "country": person.country, "marketing_consent": dice.chance(0.7),
            }),
            "income_declared" => json!({
                "amount": amount(100 * (18_000 + dice.below(90_000)) + dice.below(100)), "currency": person.currency,
                "employment": dice.weighted(&[(70, "employed"), (12, "self_employed"), (10, "student"), (6, "retired"), (2, "unemployed")]),
            }),
            "kyc_started" => json!({ "method": method, "attempt": 1 + u64::from(dice.chance(0.08)) }),
            "kyc_submitted" => json!({ "method": method, "documents": self.documents(dice) }),
            "kyc_approved" => json!({
                "decided_by": dice.weighted(&[(85, "automatic"), (15, "agent")]),
                "risk_score": dice.below(60) as f64 / 100.0, "took_seconds": 5 + dice.below(3000),
            }),
            "card_offer_shown" => {
                let offers = if person.product == "classic" { vec!["classic", "gold"] } else { vec![person.product, "classic"] };
                json!({ "offers": offers, "credit_limit": 500 * (2 + dice.below(30)), "currency": person.currency })
            }
            "card_selected" if person.new_app => json!({
                "card": { "tier": person.product, "annual_fee": amount(10 * dice.below(1_200)), "currency": person.currency },
                "extras": if dice.chance(0.2) { vec!["travel_insurance"] } else { vec![] },
            }),
            "card_selected" => json!({ "card": person.product }),
            "agreement_signed" => json!({ "agreement_version": "2026-09", "method": dice.pick(&["e_signature", "sms_code"]) }),
            "card_issued" => json!({
                "card_id": card, "form": dice.pick(&["virtual", "plastic"]), "credit_limit": 500 * (2 + dice.below(30)), "currency": person.currency,
            }),
            "card_activated" => json!({ "card_id": card, "method": dice.pick(&["app", "app", "atm", "first_purchase"]) }),
            _ => json!({}),
        }
    }

    fn documents(&self, dice: &mut Dice) -> Vec<Value> {
        let identity = json!({
            "kind": dice.weighted(&[(60, "passport"), (35, "id_card"), (5, "residence_permit")]), "country": self.person.country,
            "pages": 2, "number": dice.letters(9).to_uppercase(), "expires_on": format!("{}-05-01", 2027 + dice.below(9)),
        });
        let others = [(0.8, "selfie"), (0.35, "proof_of_address")];
        let others = others.into_iter().filter(|(share, _)| dice.chance(*share)).map(|(_, kind)| kind).collect::<Vec<_>>();
        std::iter::once(identity)
            .chain(others.into_iter().map(|kind| json!({ "kind": kind, "country": self.person.country, "pages": 1 })))
            .collect()
    }

    /// A page looked at; without a journey by somebody who has no account yet.
    fn view(&mut self, journey: Option<&str>, dice: &mut Dice) {
        self.wait(40 * SECOND, dice);
        let (path, title) = dice.pick(match journey {
            Some(_) => &[("/apply", "Your application"), ("/help/identity", "Which documents do I need?")][..],
            None => &[("/", "Welcome"), ("/cards", "Our cards"), ("/cards/gold", "The gold card"), ("/fees", "Fees")][..],
        });
        let mut properties = fields(json!({
            "url": format!("https://bank.example{path}"), "path": path, "title": title, "channel": self.person.channel, "variant": self.person.variant,
        }));
        if let Some(journey) = journey {
            properties.insert("journey_id".into(), journey.into());
        }
        self.track("page_viewed", properties, journey.is_some(), None, dice);
    }

    /// An event as Segment's libraries shape it.
    fn track(&mut self, name: &'static str, properties: Map<String, Value>, signed_in: bool, version: Option<u32>, dice: &mut Dice) {
        let mut event = fields(json!({ "messageId": dice.uuid(), "type": "track", "event": name }));
        if signed_in {
            event.insert("userId".into(), self.person.user.clone().into());
        }
        event.insert("anonymousId".into(), self.person.device.clone().into());
        event.insert("timestamp".into(), rfc3339(self.at).into());
        let mut context = fields(json!({ "ip": self.person.ip, "locale": self.person.locale }));
        if let Some(version) = version {
            context.insert("protocols".into(), json!({ "event_version": version }));
        }
        event.insert("context".into(), context.into());
        event.insert("properties".into(), properties.into());
        self.planned.push(Planned { at: self.at, name, emitter: Emitter::Web, event });
    }

    fn loan(&mut self, dice: &mut Dice) {
        let application = format!("loan-{}", dice.letters(10));
        let instance = 2_251_799_813_000 + dice.below(1_000_000_000);
        let asked = 100 * (1_000 + 100 * dice.below(400));
        let currency = self.person.currency;
        for (index, step) in LOAN.iter().enumerate() {
            if !dice.chance(step.reached) {
                return;
            }
            self.wait(step.pause, dice);
            let mut vars = fields(json!({
                "user": self.person.user, "application": application, "step": step.name, "step_number": index + 1, "channel": self.person.channel,
            }));
            vars.extend(fields(match step.event {
                "loan_requested" => json!({
                    "amount": amount(asked), "currency": currency, "months": 12 * (1 + dice.below(8)), "purpose": dice.pick(&["car", "home", "study", "debt"]),
                }),
                "loan_scored" => json!({ "score": 350 + dice.below(600), "decision": dice.weighted(&[(70, "accepted"), (18, "declined"), (12, "manual")]) }),
                "loan_offer_accepted" => json!({ "amount": amount(asked), "currency": currency, "rate_percent": amount(395 + dice.below(900)) }),
                _ => json!({ "amount": amount(asked), "currency": currency, "account": format!("****{}", 1000 + dice.below(9000)) }),
            }));
            let event = fields(json!({
                "activity": step.event, "eventId": format!("{instance}-{}", index + 1), "ts": rfc3339(self.at), "v": 1,
                "processInstance": instance, "vars": vars,
            }));
            self.planned.push(Planned { at: self.at, name: step.event, emitter: Emitter::Loan, event });
            // Whom the bank declines is not asked to accept
            if step.event == "loan_scored" && declined(&self.planned) {
                return;
            }
        }
    }

    fn wait(&mut self, mean_ms: i64, dice: &mut Dice) {
        let pause = SignedDuration::from_millis(dice.pause(mean_ms));
        // Only a start at the end of jiff's calendar (the year 9999) could overflow; time then stands still
        self.at = self.at.checked_add(pause).unwrap_or(self.at);
    }
}

fn declined(planned: &[Planned]) -> bool {
    planned.last().is_some_and(|last| last.event["vars"]["decision"] == "declined")
}

/// The members of an object that `json!` has just made.
fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Hundredths as a number with at most two decimals.
fn amount(hundredths: u64) -> f64 {
    hundredths as f64 / 100.0
}

/// With milliseconds, as browsers write it.
fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}
