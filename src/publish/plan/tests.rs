//! Plans from the starter root, changed here and there.

use std::collections::BTreeMap;

use super::*;
use crate::store::{Kind, Label, Revision};

/// A root in memory.
#[derive(Clone)]
struct Root(BTreeMap<String, String>);

impl Root {
    fn starter() -> Root {
        let files = Files::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        Root(files.iter().map(|(path, bytes)| (path.to_string(), String::from_utf8(bytes.to_vec()).unwrap())).collect())
    }

    fn file(mut self, path: &str, text: &str) -> Root {
        self.0.insert(path.to_owned(), text.to_owned());
        self
    }

    #[track_caller]
    fn edit(self, path: &str, from: &str, to: &str) -> Root {
        let text = self.0.get(path).unwrap_or_else(|| panic!("{path} is not there"));
        assert!(text.contains(from), "{path} has no {from:?}");
        let text = text.replace(from, to);
        self.file(path, &text)
    }

    #[track_caller]
    fn without(mut self, path: &str) -> Root {
        assert!(self.0.remove(path).is_some(), "{path} is not there");
        self
    }

    #[track_caller]
    fn renamed(self, path: &str, to: &str) -> Root {
        let text = self.0.get(path).cloned().unwrap_or_else(|| panic!("{path} is not there"));
        self.file(to, &text).without(path)
    }

    fn files(&self) -> Files {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_bytes().to_vec())).collect()
    }

    /// From this root, published, to another.
    #[track_caller]
    fn plan_in(&self, environment: &str, to: &Root) -> Plan {
        let files = self.files().of_environment(environment);
        let label = Label {
            kind: Kind::Apply,
            by: "ana <ana@bank.example>".to_owned(),
            message: None,
            git_commit: Some("a1b2c3d4e5f60718293a4b5c6d7e8f9012345678".to_owned()),
            dirty: true,
            forced: false,
            counts: Counts::default(),
        };
        let publication = Publication {
            revision: Revision { epoch: 1, generation: 12 },
            digest: files.digest(environment),
            at: "2026-11-23T22:12:10Z".parse().unwrap(),
            label,
        };
        Plan::between(Some((&publication, &files)), &to.files(), environment)
            .unwrap_or_else(|findings| panic!("{:#?}", findings.iter().collect::<Vec<_>>()))
    }

    #[track_caller]
    fn plan(&self, to: &Root) -> Plan {
        self.plan_in("dev", to)
    }
}

/// `consumer: route route < through` of the one change of a plan.
#[track_caller]
fn touched(plan: &Plan) -> Vec<String> {
    let [change] = &*plan.changes else { panic!("{:#?}", plan.changes) };
    let list = |names: &std::collections::BTreeSet<Arc<str>>| names.iter().map(|name| &**name).collect::<Vec<_>>().join(" ");
    let touches = change.touches.as_ref().expect("it was asked");
    touches.iter().map(|touch| format!("{}: {} < {}", touch.consumer, list(&touch.routes), list(&touch.through))).collect()
}

/// Digests are others whenever the starter root is.
fn redacted(text: &str) -> String {
    let digest = regex::Regex::new(r"\b([0-9a-f]{64}|[0-9a-f]{12})\b").unwrap();
    let kept = |found: &regex::Captures<'_>| if found[0].starts_with("a1b2c3") { found[0].to_owned() } else { "[digest]".to_owned() };
    digest.replace_all(text, kept).into_owned()
}

fn codes(plan: &Plan) -> Vec<&'static str> {
    plan.identity.iter().map(|notice| notice.code).collect()
}

const ENGAGEMENT: &str = "consumers/engagement.yaml";
const WAREHOUSE: &str = "consumers/warehouse.yaml";

/// A bit of everything.
fn many() -> (Root, Root) {
    let old = Root::starter();
    let new = old
        .clone()
        .edit(ENGAGEMENT, "name: profile", "name: person")
        .edit(ENGAGEMENT, "partitions: 6", "partitions: 12")
        .edit(
            WAREHOUSE,
            "      channel: event.properties.channel\n      variant",
            "      referrer: event.properties.referrer\n      variant",
        )
        .edit("transforms/engagement/_context.json.j2", "{\"locale\"", "{\"consent\": true, \"locale\"")
        .edit("transforms/monitoring/step.json.j2", "{#", "{# A note.\n")
        .edit("schemas/kyc_approved/1.json", "\"title\": ", "\"$comment\": \"by whom is not said\",\n  \"title\": ")
        .without("schemas/loan_scored/1.yaml")
        .file("schemas/kyc_declined/1.json", "{\"type\": \"object\"}\n");
    (old, new)
}

#[test]
fn a_plan_for_a_terminal() {
    let (old, new) = many();
    insta::assert_snapshot!(redacted(&old.plan(&new).human(false)));
}

#[test]
fn a_plan_for_a_pull_request() {
    let (old, new) = many();
    insta::assert_snapshot!(redacted(&old.plan(&new).markdown()));
}

#[test]
fn a_plan_for_programs() {
    let (old, new) = many();
    insta::assert_snapshot!(redacted(&format!("{:#}", old.plan(&new).json())));
}

#[test]
fn colours_change_no_text() {
    let (old, new) = many();
    let plan = old.plan(&new);
    let coloured = plan.human(true);
    assert!(coloured.contains("\u{1b}[32m+ schemas/kyc_declined/1.json\u{1b}[0m"), "{coloured}");
    let plain = regex::Regex::new("\u{1b}\\[[0-9]+m").unwrap().replace_all(&coloured, "").into_owned();
    assert_eq!(plain, plan.human(false));
}

#[test]
fn names_of_others_cannot_write_on_the_terminal() {
    let new = Root::starter().file("transforms/_a\u{1b}[2J\nb.json.j2", "1");
    let plan = Root::starter().plan(&new);
    assert!(plan.human(false).contains("+ transforms/_a\u{fffd}[2J\u{fffd}b.json.j2\n"), "{}", plan.human(false));
    assert!(plan.markdown().contains("<code>transforms/_a\u{fffd}[2J\u{fffd}b.json.j2</code>"), "{}", plan.markdown());
}

#[test]
fn the_same_root_is_no_change() {
    let plan = Root::starter().plan(&Root::starter().file("environments/other.yaml", "version: 1\n").file("schemas/README.md", "notes"));
    assert!(plan.is_empty());
    insta::assert_snapshot!(redacted(&plan.human(false)), @"dev: no changes: the root is what is published as revision 12 ([digest], by ana <ana@bank.example>, 2026-11-23 22:12 UTC, commit a1b2c3d4e5f6, uncommitted changes)");
    assert!(plan.markdown().contains("no changes"));
}

#[test]
fn before_the_first_publication_all_is_new() {
    let plan = Plan::between(None, &Root::starter().files(), "dev").unwrap();
    assert_eq!((plan.count(Action::Add), plan.count(Action::Change), plan.count(Action::Remove)), (plan.files.len(), 0, 0));
    assert_eq!(plan.migrations[0].statements.len(), 3);
    assert!(plan.human(false).starts_with("dev: nothing is published yet; the root is "), "{}", plan.human(false));
}

#[test]
fn a_root_with_findings_has_no_plan() {
    let broken = Root::starter().edit(ENGAGEMENT, "engagement/loan.json.j2", "engagement/lone.json.j2");
    let findings = Plan::between(None, &broken.files(), "dev").unwrap_err();
    assert!(findings.iter().any(|finding| finding.message.contains("lone.json.j2")));
    let broken = Root::starter().edit("transforms/engagement/loan.json.j2", "{{", "{{ nobody +");
    assert!(Plan::between(None, &broken.files(), "dev").unwrap_err().has_errors());
}

#[test]
fn a_schema_touches_the_routes_that_take_its_event() {
    let root = Root::starter();
    let plan = root.plan(&root.clone().edit("schemas/kyc_approved/1.json", "Identity approved", "Approved"));
    assert_eq!(touched(&plan), ["engagement: journey-events < ", "monitoring: steps < ", "warehouse: card-events < "]);
    let plan = root.plan(&root.clone().without("schemas/loan_scored/1.yaml"));
    assert_eq!(touched(&plan), ["monitoring: steps < ", "warehouse: loan-events < "]);
    let plan = root.plan(&root.clone().edit("schemas/card_selected/event.yaml", "owner: cards", "owner: issuing"));
    assert_eq!(touched(&plan), ["engagement: journey-events < ", "monitoring: steps < ", "warehouse: card-events < "]);
}

#[test]
fn a_schema_touches_those_that_refer_to_it() {
    let root = Root::starter().edit(
        "schemas/kyc_approved/1.json",
        "\"title\":",
        "\"$defs\": { \"view\": { \"$ref\": \"../page_viewed/1.yaml\" } }, \"title\":",
    );
    let plan = root.plan(&root.clone().edit("schemas/page_viewed/1.yaml", "title: Page viewed", "title: View"));
    let through = "schemas/kyc_approved/1.json";
    assert_eq!(
        touched(&plan),
        [
            format!("engagement: journey-events < {through}"),
            format!("monitoring: steps < {through}"),
            format!("warehouse: card-events page-views < {through}")
        ]
    );
}

#[test]
fn a_partial_touches_the_consumers_of_what_includes_it() {
    let root = Root::starter()
        .file("transforms/engagement/_deep.json.j2", "1")
        .edit("transforms/engagement/_context.json.j2", "{\"locale\"", "{\"deep\": {% include \"engagement/_deep.json.j2\" %}, \"locale\"")
        .file("transforms/_alone.json.j2", "1");
    let plan = root.plan(&root.clone().file("transforms/engagement/_deep.json.j2", "2"));
    let [touch] = &*touched(&plan) else { panic!("{:?}", touched(&plan)) };
    assert!(touch.starts_with("engagement: journey-events") && touch.contains("< engagement/"), "{touch}");
    assert!(touch.contains("engagement/track.json.j2"), "{touch}");
    assert!(touched(&root.plan(&root.clone().file("transforms/_alone.json.j2", "2"))).is_empty());
    let plan = root.plan(&root.clone().edit("transforms/engagement/loan.json.j2", "\"type\"", "\"kind\": 1, \"type\""));
    assert_eq!(touched(&plan), ["engagement: loan-events < "]);
}

#[test]
fn a_macro_touches_who_calls_it_through_others() {
    let root = Root::starter()
        .file("transforms/_inner.j2", "{% macro two(x) %}{{ x }}{% endmacro %}")
        .file("transforms/_outer.j2", "{% from \"_inner.j2\" import two %}{% macro one(x) %}{{ two(x) }}{% endmacro %}")
        .file("transforms/engagement/loan.json.j2", "{% from \"_outer.j2\" import one %}{\"x\": {{ one(1) }}}");
    let plan = root.plan(&root.clone().file("transforms/_inner.j2", "{% macro two(x) %}{{ x | int }}{% endmacro %}"));
    assert_eq!(touched(&plan), ["engagement: loan-events < engagement/loan.json.j2"]);
}

#[test]
fn an_environment_touches_the_consumers_it_changes() {
    let root = Root::starter();
    let plan = root.plan_in("staging", &root.clone().edit("environments/staging.yaml", "20/s", "30/s"));
    assert_eq!(touched(&plan), ["engagement:  < "]);
    let off = root.clone().edit("environments/staging.yaml", "  warehouse:\n", "  monitoring: { enabled: false }\n  warehouse:\n");
    let plan = root.plan_in("staging", &off);
    assert_eq!((touched(&plan), codes(&plan)), (vec!["monitoring:  < ".to_owned()], vec!["consumer-disabled"]));
    assert!(root.plan_in("production", &off).is_empty());
}

#[test]
fn layout_touches_nobody() {
    let root = Root::starter();
    let plan = root.plan(&root.clone().edit(ENGAGEMENT, "owner: growth", "owner:   growth   # them"));
    assert!(plan.changes[0].content.is_layout() && plan.changes[0].touches.is_none());
    assert_eq!(plan.summary(), "0 to add, 1 to change, 0 to remove");
}

#[test]
fn new_columns_and_tables_are_shown_as_their_ddl() {
    let root = Root::starter();
    let wider = root.clone().edit(
        WAREHOUSE,
        "      path: event.properties.path\n",
        "      path: event.properties.path\n      page: { const: 1 }\n",
    );
    let [migration] = &*root.plan(&wider).migrations else { panic!("one migration") };
    assert_eq!((migration.dialect.name(), migration.known, migration.by_worker), ("SQLite", Known::Default, true));
    assert_eq!(migration.statements, [r#"ALTER TABLE "page_views" ADD COLUMN "page" integer"#]);
    let [migration] = &*root.plan_in("staging", &wider).migrations else { panic!("one migration") };
    assert_eq!((migration.dialect.name(), migration.known), ("PostgreSQL", Known::Unknown));
    assert_eq!(migration.statements, [r#"ALTER TABLE "page_views" ADD COLUMN IF NOT EXISTS "page" bigint"#]);
    let other_table = root.plan(&root.clone().edit(WAREHOUSE, "name: page_views,", "name: views,"));
    assert!(other_table.migrations[0].statements[0].starts_with(r#"CREATE TABLE IF NOT EXISTS "views""#));
    let nothing_for_tables = root.plan(&root.clone().edit(WAREHOUSE, "owner: data", "owner: analysts"));
    assert!(nothing_for_tables.migrations.is_empty());
}

#[test]
fn another_database_gets_all_tables() {
    let root = Root::starter();
    let plan = root.plan(&root.clone().edit(WAREHOUSE, "${WAREHOUSE_URL:-sqlite:var/warehouse.db}", "postgres://db/w"));
    assert_eq!((plan.migrations[0].statements.len(), plan.migrations[0].known), (3, Known::Written));
}

#[test]
fn what_no_worker_does_is_said() {
    let root = Root::starter();
    let new = root.clone().edit(WAREHOUSE, "migrate: additive #", "migrate: none #").edit(WAREHOUSE, "numeric(18,2)", "numeric(20,2)");
    let plan = root.plan(&new.edit(
        WAREHOUSE,
        "      path: event.properties.path\n",
        "      path: event.properties.path\n      page: { const: 1 }\n",
    ));
    let migration = &plan.migrations[0];
    assert!(!migration.by_worker);
    assert_eq!(
        migration.by_hand,
        ["column `amount` of table `events` is numeric(20,2) now, was numeric(18,2): a column that stands keeps its type"]
    );
    assert!(plan.human(false).contains("make these yourself before you apply"), "{}", plan.human(false));
}

#[test]
fn changes_of_identity_are_named() {
    let root = Root::starter();
    for (path, from, to, code) in [
        (ENGAGEMENT, "name: profile", "name: person", "route-renamed"),
        (ENGAGEMENT, "partitions: 6", "partitions: 3", "partitions-changed"),
        (ENGAGEMENT, "key: event.userId", "key: event.anonymousId", "queue-key-changed"),
        (WAREHOUSE, "each: event.properties.documents\n", "when: event.userId\n", "elements-changed"),
        ("sources.yaml", "id: /eventId", "id: /id", "event-ids-changed"),
    ] {
        let mut new = root.clone().edit(path, from, to);
        if code == "elements-changed" {
            let old = "      index: index\n      user_id: event.userId\n      kind: item.kind\n      country: item.country\n      pages: item.pages\n";
            new = new.edit(WAREHOUSE, old, "").edit(WAREHOUSE, "key: [event_id, index]", "key: [event_id]");
        }
        assert_eq!(codes(&root.plan(&new)), [code], "{to}");
    }
}

#[test]
fn consumers_and_routes_that_go_are_told_from_renamed_ones() {
    let root = Root::starter();
    let renamed = root.plan(
        &root.clone().renamed(ENGAGEMENT, "consumers/journeys.yaml").edit("environments/staging.yaml", "engagement", "journeys").edit(
            "environments/production.yaml",
            "engagement",
            "journeys",
        ),
    );
    assert_eq!((codes(&renamed), renamed.identity[0].consumer.as_deref()), (vec!["consumer-renamed"], Some("journeys")));
    let removed = root.plan(&root.clone().without("consumers/monitoring.yaml").edit(
        "environments/production.yaml",
        "  monitoring:\n    sink: { directory: \"${MONITORING_DIR}\" }\n",
        "",
    ));
    assert_eq!(codes(&removed), ["consumer-removed"]);
    let route = root.clone().edit(ENGAGEMENT, "\n  - name: loan-events\n    events: [loan_requested, loan_offer_accepted, loan_paid_out]\n    transform: engagement/loan.json.j2\n    request: { method: POST, path: /api/public/apps/batch, body: batch }\n", "");
    assert_eq!(codes(&root.plan(&route)), ["route-removed"]);
    assert!(codes(&route.plan(&root)).is_empty(), "a route that is new takes nobody's name");
}

#[test]
fn a_sink_of_another_type_is_named() {
    let root = Root::starter();
    let plan = root.plan(
        &root
            .clone()
            .file(
                "consumers/monitoring.yaml",
                "version: 1\nsink: { type: kafka }\nroutes:\n  - name: steps\n    events: [\"kyc_*\"]\n    transform: monitoring/step.json.j2\n    topic: { name: steps }\n",
            )
            .edit("environments/production.yaml", "  monitoring:\n    sink: { directory: \"${MONITORING_DIR}\" }\n", ""),
    );
    assert_eq!(codes(&plan), ["sink-type-changed"]);
}

#[test]
fn a_published_set_that_this_version_cannot_read_is_compared_by_its_files() {
    let root = Root::starter();
    let old = root.clone().edit(ENGAGEMENT, "version: 1", "version: 9").edit("sources.yaml", "web.events", "app.events");
    let plan = old.plan(&root);
    assert_eq!(plan.summary(), "0 to add, 2 to change, 0 to remove");
    let text = plan.human(false);
    assert!(
        text.contains("only files are compared: this version cannot read what is published (consumers/engagement.yaml:2:10: "),
        "{text}"
    );
    assert!(text.contains("-  web: { topics: [app.events]"), "{text}");
    assert_eq!(plan.migrations.len(), 1, "what stands is not known, so all is shown");
}

#[test]
fn no_secret_of_a_published_file_is_shown() {
    let root = Root::starter();
    let old = root.clone().edit(ENGAGEMENT, "${secret:DITTOFEED_WRITE_KEY}", "id:hunter2");
    let plan = old.plan(&root);
    for text in [plan.human(false), plan.markdown(), plan.json().to_string()] {
        assert!(text.contains(ENGAGEMENT) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_comment_keeps_within_its_bound() {
    let long = |word: &str| format!("{{# {word} #}}\n\"{word}\"\n");
    let (mut old, mut new) = (Root::starter(), Root::starter());
    for n in 0..600 {
        let path = format!("transforms/bulk/{n:04}-{}.json.j2", "name".repeat(10));
        old = old.file(&path, &long("old"));
        new = new.file(&path, &long("new"));
    }
    let plan = old.plan(&new);
    let comment = plan.markdown();
    assert!(comment.chars().count() <= 60_000, "{}", comment.chars().count());
    assert!(comment.contains("more do not fit into a comment"), "{}", &comment[comment.len() - 500..]);
    assert_eq!(comment.matches("<details>").count(), comment.matches("</details>").count());
    let one = Root::starter().file("transforms/big.json.j2", &"{# a #}\n".repeat(9_000));
    let comment = one.plan(&one.clone().file("transforms/big.json.j2", &"{# b #}\n".repeat(9_000))).markdown();
    assert!(comment.contains("cut here") && comment.chars().count() < 20_000, "{}", comment.chars().count());
}
