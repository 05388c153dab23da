//! analytica.yaml: connections and this machine's settings. Not part of the set, never published.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::consumer::warn_of_clear;
use super::files::ROOT_FILE;
use super::fill::Fill;
use super::findings::{Finding, Findings, Place};
use super::load::document;
use super::node::Node;
use super::section::{Section, cut, entries, one_or_many, string, text};
use super::text::{Resolved, Text};
use super::units::Span;
use super::variables::Variables;

/// Flags > `ANALYTICA_*` environment > analytica.yaml > defaults, variables resolved.
///
/// | variable | stands for |
/// | --- | --- |
/// | `ANALYTICA_KAFKA_BROKERS` | `kafka.brokers`, with commas between them |
/// | `ANALYTICA_KAFKA_PREFIX` | `kafka.prefix` |
/// | `ANALYTICA_REDIS_URL` | `redis.url` |
/// | `ANALYTICA_CONFIG_FROM` | `config.from`: `redis` or `files` |
/// | `ANALYTICA_ADMIN_LISTEN` | `admin.listen`: an address and port |
#[derive(Debug, Clone)]
pub struct Settings {
    pub kafka: KafkaSettings,
    pub redis: RedisSettings,
    pub config_from: ConfigFrom,
    pub admin_listen: SocketAddr,
}

#[derive(Debug, Clone)]
pub struct KafkaSettings {
    pub brokers: Vec<String>,
    /// Owned topics and groups are `<prefix>.<env>.…`.
    pub prefix: String,
    pub topics: TopicSettings,
    pub exactly_once: bool,
    /// librdkafka properties, over everything that we set ourselves.
    pub properties: IndexMap<String, Resolved>,
}

/// What owned topics are created with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    pub replication: i32,
    pub min_insync: i32,
    pub retention: Duration,
}

#[derive(Debug, Clone)]
pub struct RedisSettings {
    pub url: Resolved,
    pub refresh: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigFrom {
    Redis,
    Files,
}

const SOURCES_OF_CONFIG: [(&str, ConfigFrom); 2] = [("redis", ConfigFrom::Redis), ("files", ConfigFrom::Files)];

/// What flags say; they win over everything.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// With commas between them.
    pub kafka_brokers: Option<String>,
    pub kafka_prefix: Option<String>,
    pub redis_url: Option<String>,
    /// `redis` or `files`.
    pub config_from: Option<String>,
    pub admin_listen: Option<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            kafka: KafkaSettings {
                brokers: vec!["127.0.0.1:9092".to_owned()],
                prefix: "analytica".to_owned(),
                topics: TopicSettings { replication: 1, min_insync: 1, retention: Duration::from_secs(7 * 86_400) },
                exactly_once: false,
                properties: IndexMap::new(),
            },
            redis: RedisSettings {
                url: Resolved::new("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
                refresh: Duration::from_secs(30),
            },
            config_from: ConfigFrom::Redis,
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
        }
    }
}

impl Settings {
    /// This machine's settings. A root without analytica.yaml has the defaults. Err: everything that is wrong.
    pub fn load(root: &Path, overrides: &Overrides, variables: &dyn Variables) -> Result<Settings, Findings> {
        let mut findings = Findings::default();
        let mut settings = Settings::default();
        if let Some(node) = read(root, &mut findings) {
            settings.take_file(&node, Fill::Machine(variables), &mut findings);
        }
        let environment = Overrides {
            kafka_brokers: variables.variable("ANALYTICA_KAFKA_BROKERS"),
            kafka_prefix: variables.variable("ANALYTICA_KAFKA_PREFIX"),
            redis_url: variables.variable("ANALYTICA_REDIS_URL"),
            config_from: variables.variable("ANALYTICA_CONFIG_FROM"),
            admin_listen: variables.variable("ANALYTICA_ADMIN_LISTEN"),
        };
        settings.take_overrides(&environment, |name| format!("ANALYTICA_{}", name.to_uppercase().replace('-', "_")), &mut findings);
        settings.take_overrides(overrides, |name| format!("--{name}"), &mut findings);
        match findings.has_errors() {
            true => Err(findings.sorted()),
            false => Ok(settings),
        }
    }

    /// What is wrong with analytica.yaml itself, whatever the machine: variables without a default are not judged.
    pub fn check(root: &Path) -> Findings {
        let mut findings = Findings::default();
        if let Some(node) = read(root, &mut findings) {
            let mut settings = Settings::default();
            settings.take_file(&node, Fill::Defaults, &mut findings);
            if settings.kafka.exactly_once
                && let Some(written) = node.get("kafka").and_then(|kafka| kafka.get("delivery"))
            {
                let message = "`kafka.delivery: exactly_once` is not supported in this version: `run` refuses to start with it";
                findings.push(written.error("unsupported", message).hint("say `at_least_once`, or leave `delivery` out"));
            }
            for section in ["kafka", "redis"].iter().filter_map(|name| node.get(name)) {
                warn_of_clear(section, &mut findings);
            }
        }
        findings.sorted()
    }

    fn take_file(&mut self, node: &Node, fill: Fill<'_>, findings: &mut Findings) {
        let Some(file) = Section::file(node, ROOT_FILE, &["version", "kafka", "redis", "config", "admin"], findings) else { return };
        if let Some(node) = file.get("kafka") {
            self.take_kafka(node, fill, findings);
        }
        if let Some(section) = file.get("redis").and_then(|node| Section::open(node, "`redis`", &["url", "refresh"], findings)) {
            if let Some(url) = section.get("url").and_then(|node| secret(node, fill, findings)) {
                self.redis.url = url;
            }
            if let Some(node) = section.get("refresh").map(|node| fill.fill(node, findings))
                && let Some(Span(refresh)) = super::section::unit(&node, findings)
            {
                match refresh.is_zero() {
                    true => findings.push(section.error("refresh", "out-of-range", "a `refresh` of zero would never stop asking Redis")),
                    false => self.redis.refresh = refresh,
                }
            }
        }
        if let Some(section) = file.get("config").and_then(|node| Section::open(node, "`config`", &["from"], findings))
            && let Some(node) = section.get("from").map(|node| fill.fill(node, findings))
            && let Some(from) = super::section::one_of(&node, &SOURCES_OF_CONFIG, findings)
        {
            self.config_from = from;
        }
        if let Some(section) = file.get("admin").and_then(|node| Section::open(node, "`admin`", &["listen"], findings))
            && let Some(node) = section.get("listen").map(|node| fill.fill(node, findings))
            && let Some(listen) = string(&node, findings)
        {
            match listen.parse() {
                Ok(address) => self.admin_listen = address,
                Err(_) => findings.push(node.error("bad-address", not_an_address(listen))),
            }
        }
    }

    fn take_kafka(&mut self, node: &Node, fill: Fill<'_>, findings: &mut Findings) {
        let keys = &["brokers", "prefix", "topics", "delivery", "properties"];
        if let Some(properties) = node.get("properties") {
            for (key, node) in entries(properties, "properties", findings).into_iter().flatten() {
                if let Some(value) = secret(node, fill, findings) {
                    self.kafka.properties.insert(key.name.clone(), value);
                }
            }
        }
        // The properties may hold secrets and are done: what is left takes its field's type.
        let mut rest = node.clone();
        if let Some(properties) = rest.get_mut("properties") {
            *properties = Node::empty(properties.at.clone());
        }
        let rest = fill.fill(&rest, findings);
        let Some(section) = Section::open(&rest, "`kafka`", keys, findings) else { return };
        if let Some(node) = section.get("brokers") {
            // One variable may hold several brokers.
            let brokers: Vec<String> = one_or_many(node).iter().filter_map(|node| string(node, findings)).flat_map(list).collect();
            let all_known = !one_or_many(node).iter().any(|node| matches!(node.kind, super::node::Kind::Pending));
            match brokers.is_empty() && all_known {
                true => findings.push(section.error("brokers", "no-brokers", "no broker")),
                false => self.kafka.brokers = brokers,
            }
        }
        if let Some(node) = section.get("prefix")
            && let Some(prefix) = string(node, findings)
        {
            match check_prefix(prefix) {
                Ok(()) => self.kafka.prefix = prefix.to_owned(),
                Err(why) => findings.push(node.error("bad-name", why)),
            }
        }
        if let Some(once) = section.one_of("delivery", &[("at_least_once", false), ("exactly_once", true)], findings) {
            self.kafka.exactly_once = once;
        }
        let Some(topics) =
            section.get("topics").and_then(|node| Section::open(node, "`topics`", &["replication", "min_insync", "retention"], findings))
        else {
            return;
        };
        let settings = &mut self.kafka.topics;
        // Kafka counts replicas in 16 bits.
        let replicas = 1..=i16::MAX as u64;
        settings.replication = topics.integer("replication", replicas.clone(), findings).map_or(settings.replication, |n| n as i32);
        settings.min_insync = topics.integer("min_insync", replicas, findings).map_or(settings.min_insync, |n| n as i32);
        if let Some(Span(retention)) = topics.unit("retention", findings) {
            settings.retention = retention;
        }
        if settings.min_insync > settings.replication {
            findings.push(topics.error(
                "min_insync",
                "out-of-range",
                "more replicas in sync (`min_insync`) than there are (`replication`)",
            ));
        }
    }

    /// `named` says how a setting is called where it comes from.
    fn take_overrides(&mut self, overrides: &Overrides, named: impl Fn(&str) -> String, findings: &mut Findings) {
        let mut refuse = |name: &str, why: String| findings.push(Finding::error("bad-setting", Place::file(named(name)), why));
        if let Some(brokers) = &overrides.kafka_brokers {
            match list(brokers) {
                brokers if brokers.is_empty() => refuse("kafka-brokers", "no broker".to_owned()),
                brokers => self.kafka.brokers = brokers,
            }
        }
        if let Some(prefix) = &overrides.kafka_prefix {
            match check_prefix(prefix) {
                Ok(()) => self.kafka.prefix.clone_from(prefix),
                Err(why) => refuse("kafka-prefix", why),
            }
        }
        if let Some(url) = &overrides.redis_url {
            self.redis.url = Resolved::new(named("redis-url"), url.clone());
        }
        if let Some(from) = &overrides.config_from {
            match SOURCES_OF_CONFIG.iter().find(|(name, _)| name == from) {
                Some((_, from)) => self.config_from = *from,
                None => refuse("config-from", format!("`{}` is neither `redis` nor `files`", cut(from))),
            }
        }
        if let Some(listen) = &overrides.admin_listen {
            match listen.parse() {
                Ok(address) => self.admin_listen = address,
                Err(_) => refuse("admin-listen", not_an_address(listen)),
            }
        }
    }
}

fn read(root: &Path, findings: &mut Findings) -> Option<Node> {
    match fs::read(root.join(ROOT_FILE)) {
        Ok(bytes) => document(&Arc::from(ROOT_FILE), &bytes, findings),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            findings.push(Finding::error("bad-file", Place::file(ROOT_FILE), format!("cannot read the file: {error}")));
            None
        }
    }
}

/// A string that may hold secrets. None where it is missing or not to be known yet.
fn secret(node: &Node, fill: Fill<'_>, findings: &mut Findings) -> Option<Resolved> {
    let text: Text = text(node, findings)?;
    match fill {
        Fill::Defaults => text.with_defaults().map(|value| Resolved::new(text.source(), value)),
        Fill::Machine(variables) => match text.resolve(variables) {
            Ok(value) => Some(value),
            Err(error) => {
                findings.push(node.error("unset-variable", error.to_string()));
                None
            }
        },
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Part of topics' and groups' names; dots separate what follows it.
fn check_prefix(prefix: &str) -> Result<(), String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    match !prefix.is_empty() && prefix.len() <= 100 && prefix.bytes().all(good) {
        true => Ok(()),
        false => Err(format!("`{}` cannot start the name of a topic: letters, digits, `.`, `_` and `-`, at most 100", cut(prefix))),
    }
}

fn not_an_address(text: &str) -> String {
    format!("`{}` is not an address and port, such as 127.0.0.1:9464", cut(text))
}

#[cfg(test)]
mod tests {
    use super::super::variables::FixedVariables;
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)], overrides: &Overrides) -> Result<Settings, String> {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(ROOT_FILE), file).unwrap();
        let variables = FixedVariables::new(variables.iter().copied());
        Settings::load(root.path(), overrides, &variables)
            .map_err(|findings| findings.iter().map(|f| format!("{}: {}\n", f.at, f.message)).collect())
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let settings = load("version: 1\n", &[], &Overrides::default()).unwrap();
        assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = "version: 1\nkafka: { prefix: file, brokers: [\"${BROKERS:-a:1}\"] }\nadmin: { listen: \"127.0.0.1:1\" }\n";
        let settings = load(file, &[("BROKERS", "b:1, c:1")], &Overrides::default()).unwrap();
        assert_eq!((settings.kafka.prefix.as_str(), settings.kafka.brokers), ("file", vec!["b:1".to_owned(), "c:1".to_owned()]));
        let settings =
            load(file, &[("ANALYTICA_KAFKA_PREFIX", "env"), ("ANALYTICA_ADMIN_LISTEN", "127.0.0.1:2")], &Overrides::default()).unwrap();
        assert_eq!((settings.kafka.prefix.as_str(), settings.admin_listen.port()), ("env", 2));
        let overrides = Overrides { kafka_prefix: Some("flag".into()), ..Overrides::default() };
        assert_eq!(load(file, &[("ANALYTICA_KAFKA_PREFIX", "env")], &overrides).unwrap().kafka.prefix, "flag");
    }

    #[test]
    fn variables_take_the_type_of_their_field() {
        let file = "version: 1\nkafka: { topics: { replication: \"${R}\", retention: \"${D:-3d}\" }, prefix: \"${P}\" }\n";
        let settings = load(file, &[("R", "3"), ("P", "007")], &Overrides::default()).unwrap();
        assert_eq!((settings.kafka.topics.replication, settings.kafka.prefix.as_str()), (3, "007"));
        assert_eq!(
            load(file, &[("R", "x"), ("P", "p")], &Overrides::default()).unwrap_err(),
            "analytica.yaml:2:33: an integer is expected here, this is a string\n"
        );
        assert!(load(file, &[("R", "1")], &Overrides::default()).unwrap_err().contains("the variable P is not set"));
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let file = "version: 2\nkafka: { brokers: [], delivery: sometimes, prfix: x }\nredis: { refresh: 0s }\nadmin: { listen: here }\n";
        let overrides = Overrides { config_from: Some("git".into()), ..Overrides::default() };
        assert_eq!(load(file, &[], &overrides).unwrap_err().lines().count(), 7);
    }

    #[test]
    fn a_redis_password_is_never_printed() {
        let file = "version: 1\nredis: { url: \"redis://:${secret:PASSWORD}@redis\" }\n";
        let settings = load(file, &[("PASSWORD", "hunter2")], &Overrides::default()).unwrap();
        assert_eq!(settings.redis.url.expose(), "redis://:hunter2@redis");
        assert!(!format!("{settings:?} {}", settings.redis.url).contains("hunter2"));
    }
}
