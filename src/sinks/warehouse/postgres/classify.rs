//! Whose fault an SQLSTATE is: a pure function.

use tokio_postgres::Error;

use crate::sinks::refusal::with_causes;
use crate::sinks::{Blame, Refusal};

/// What PostgreSQL, or the way to it, said. Its detail is left out: it quotes the row.
pub(super) fn refusal(error: &Error) -> Refusal {
    match error.as_db_error() {
        Some(answer) => {
            let code = answer.code().code();
            Refusal::new(blame(code), format!("{code}: {}", mask(code, answer.message()))).code(code)
        }
        None => {
            let text = with_causes(error);
            // The server is there and nobody would be served.
            let refused_for_good = ["certificate verify failed", "does not support TLS", "password missing", "authentication"];
            let blame = if refused_for_good.iter().any(|what| text.contains(what)) { Blame::Configuration } else { Blame::Sink };
            Refusal::new(blame, text)
        }
    }
}

/// By class, then by code where a class has both kinds.
pub(super) fn blame(sqlstate: &str) -> Blame {
    match sqlstate {
        // One statement would have touched a row twice: alone each record can be told.
        "21000" => Blame::Record,
        // Read-only after a failover; a server being upgraded; an idle transaction or a too old one.
        "25006" | "25P03" | "25P02" => Blame::Sink,
        // program_limit_exceeded, and the message that is too large for a backend's memory.
        "54000" => Blame::Size,
        _ => match sqlstate.get(..2).unwrap_or_default() {
            // Data exceptions; integrity constraints; a view's check option; a trigger or function that raised or gave up.
            "22" | "23" | "44" | "P0" | "09" | "38" => Blame::Record,
            // Authorization, catalog, schema, undefined or wrong names and types, features and limits that the statement itself asks for.
            "28" | "3D" | "3F" | "42" | "0A" | "54" | "0L" | "0P" => Blame::Configuration,
            // Connections, resources, operator's intervention, rollbacks (serialization, deadlock), I/O, locks, and whatever is not known.
            _ => Blame::Sink,
        },
    }
}

/// Data exceptions quote the value at fault, and only that.
fn mask(sqlstate: &str, message: &str) -> String {
    if !sqlstate.starts_with("22") {
        return message.to_owned();
    }
    match (message.find('"'), message.rfind('"')) {
        (Some(from), Some(to)) if from < to => format!("{}\"***\"{}", &message[..from], &message[to + 1..]),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sqlstate_says_whose_fault_it_is() {
        let expect = |expected: Blame, codes: &[&str]| codes.iter().for_each(|code| assert_eq!(blame(code), expected, "{code}"));
        expect(
            Blame::Record,
            &["22P02", "22P05", "22003", "22007", "22021", "23505", "23502", "23503", "23514", "21000", "44000", "P0001"],
        );
        expect(Blame::Configuration, &["42P01", "42703", "42501", "42804", "42P10", "28000", "28P01", "3D000", "3F000", "0A000", "54011"]);
        expect(
            Blame::Sink,
            &["08006", "57P01", "57014", "57P03", "53300", "53100", "40001", "40P01", "25006", "55P03", "58030", "XX000", "", "zz"],
        );
        expect(Blame::Size, &["54000"]);
    }

    #[test]
    fn an_answer_does_not_quote_the_value() {
        assert_eq!(mask("22P02", r#"invalid input syntax for type bigint: "sec"ret""#), r#"invalid input syntax for type bigint: "***""#);
        assert_eq!(mask("22003", r#"value "99999" is out of range for type integer"#), r#"value "***" is out of range for type integer"#);
        assert_eq!(mask("22001", "value too long for type character varying(3)"), "value too long for type character varying(3)");
        assert_eq!(mask("42P01", r#"relation "events" does not exist"#), r#"relation "events" does not exist"#);
    }
}
