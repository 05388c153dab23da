//! Logs on stderr: for people on a terminal, one JSON object a line otherwise. stdout carries results only.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How log lines look: `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
    /// Human on a terminal, JSON otherwise.
    #[default]
    Auto,
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<LogFormat, LogError> {
        match text {
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            "auto" => Ok(LogFormat::Auto),
            other => Err(LogError::Format(other.to_owned())),
        }
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log format '{0}' is not one of human, json, auto")]
    Format(String),
    /// Neither a level nor a filter.
    #[error(
        "log filter '{filter}' is neither a level (off, error, warn, info, debug, trace) nor a filter such as analytica::delivery=debug: {reason}"
    )]
    Filter { filter: String, reason: String },
    #[error("logs are set up already")]
    Twice,
}

/// Sets up the process's logs, once. `filter` is a level, which holds for analytica itself (what it is built on stays at warnings), or
/// tracing's filter syntax, which then holds as it stands.
pub fn init_logs(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let terminal = std::io::stderr().is_terminal();
    let human = match format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    };
    // no-color.org: set and not empty.
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = subscriber(filter, human, colour, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)
}

/// The subscriber behind `init_logs`, on any writer.
fn subscriber<W>(filter: &str, human: bool, colour: bool, writer: W) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(parse_filter(filter)?).with_writer(writer);
    if human {
        Ok(Box::new(lines.with_target(false).with_ansi(colour).finish()))
    } else {
        Ok(Box::new(lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish()))
    }
}

fn parse_filter(filter: &str) -> Result<EnvFilter, LogError> {
    let filter = filter.trim();
    let wrong = |reason: String| LogError::Filter { filter: filter.to_owned(), reason };
    let directives = match filter.parse::<LevelFilter>() {
        // tracing takes numbers for levels, and any other bare word for a target: to people both are misspelt levels.
        _ if !filter.contains(['=', ',', '[']) && !LEVELS.contains(&filter.to_ascii_lowercase().as_str()) => {
            return Err(wrong("no such level".to_owned()));
        }
        Ok(level) if level >= LevelFilter::WARN => format!("warn,analytica={level}"),
        Ok(quieter) => quieter.to_string(),
        Err(_) => filter.to_owned(),
    };
    EnvFilter::builder().parse(&directives).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, human: bool, colour: bool, say: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(filter, human, colour, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, say);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn without_a_terminal_a_line_is_one_json_object_with_its_fields() {
        let text = logged("info", false, false, || tracing::info!(consumer = "engagement", "queue paused"));
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!((line["level"].as_str(), line["message"].as_str()), (Some("INFO"), Some("queue paused")));
        assert_eq!(line["consumer"], "engagement");
    }

    #[test]
    fn people_get_a_plain_line_and_colour_only_where_it_is_wanted() {
        let plain = logged("info", true, false, || tracing::info!(consumer = "engagement", "queue paused"));
        assert!(plain.contains("INFO queue paused consumer=\"engagement\""), "{plain}");
        assert!(!plain.contains('\u{1b}'));
        assert!(logged("info", true, true, || tracing::info!("x")).contains('\u{1b}'));
    }

    #[test]
    fn a_level_holds_for_analytica_while_what_it_is_built_on_stays_at_warnings() {
        let say = || {
            tracing::debug!("ours");
            tracing::info!(target: "librdkafka", "theirs");
            tracing::warn!(target: "librdkafka", "their warning");
        };
        let text = logged("debug", true, false, say);
        assert!(text.contains("ours") && text.contains("their warning") && !text.contains("theirs"), "{text}");
        assert_eq!(logged("off", true, false, say), "");
    }

    #[test]
    fn a_filter_holds_as_it_stands_and_a_broken_one_is_an_error() {
        let text = logged("librdkafka=info", true, false, || {
            tracing::info!("ours");
            tracing::info!(target: "librdkafka", "theirs");
        });
        assert!(text.contains("theirs") && !text.contains("ours"), "{text}");
        assert!(parse_filter("analytica=loud").unwrap_err().to_string().contains("'analytica=loud'"));
        assert!(parse_filter("7").is_err());
        assert!(parse_filter("loud").unwrap_err().to_string().contains("no such level"));
        assert!(parse_filter("DEBUG").is_ok());
    }

    #[test]
    fn a_log_format_is_one_of_three_words() {
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
        assert_eq!("xml".parse::<LogFormat>().unwrap_err().to_string(), "log format 'xml' is not one of human, json, auto");
    }
}
