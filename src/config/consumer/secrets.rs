//! Secrets that stand in a sink in clear. Git keeps what it has once seen, so this is an error; a finding never repeats the secret.

use std::sync::LazyLock;

use regex::Regex;

use crate::config::findings::{Finding, Findings};
use crate::config::node::{Kind, Node};
use crate::config::text::Text;

/// The code of such findings: whoever prints them masks the value.
pub const CLEAR_SECRET: &str = "secret-in-clear";

/// Stands for a variable where a value is looked at.
const VARIABLE: &str = "\u{0}";
/// Stands for a variable that may be nothing (`${X:-}`): what is written beside it must then be a value by itself.
const EMPTY: &str = "\u{1}";

static KEY_FORMATS: LazyLock<Regex> = LazyLock::new(|| {
    let formats = [
        r"\bAKIA[0-9A-Z]{16}\b",                                      // AWS
        r"\b[sr]k_(live|test)_[0-9A-Za-z]{16,}",                      // Stripe
        r"\bgh[pousr]_[0-9A-Za-z]{36,}",                              // GitHub
        r"\bglpat-[0-9A-Za-z_-]{20,}",                                // GitLab
        r"\bxox[abposr]-[0-9A-Za-z-]{10,}",                           // Slack
        r"\bAIza[0-9A-Za-z_-]{35}",                                   // Google
        r"\bSG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}",              // SendGrid
        r"\beyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]*", // a JSON Web Token
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    ];
    Regex::new(&formats.join("|")).expect("the formats are constants, and tests run them")
});

/// Findings for everything in a sink that ought to be a `${secret:…}`.
pub(super) fn refuse_clear(sink: &Node, findings: &mut Findings) {
    if let Some(auth) = sink.get("auth") {
        for value in
            [auth.get("basic"), auth.get("bearer"), auth.get("header").and_then(|header| header.get("value"))].into_iter().flatten()
        {
            if stands_in_clear(value) {
                findings.push(found(value, "credentials"));
            }
        }
    }
    if let Some(headers) = sink.get("headers") {
        refuse_named(headers, "header", findings);
    }
    if let Some(properties) = sink.get("properties") {
        refuse_named(properties, "property", findings);
    }
    sink.each_text(&mut |node, source| {
        let Ok(text) = Text::new(source) else { return };
        if findings.iter().any(|finding| finding.code == CLEAR_SECRET && finding.at == node.at) {
            return;
        }
        let clear = text.in_clear(VARIABLE, EMPTY);
        if has_password(&clear) {
            findings.push(found(node, "a password in a URL"));
        } else if KEY_FORMATS.is_match(&clear) {
            findings.push(found(node, "what looks like a key"));
        }
    });
}

/// The same for the connections of analytica.yaml, as warnings: on a machine, that file may itself be a mounted secret.
pub(in crate::config) fn warn_of_clear(section: &Node, findings: &mut Findings) {
    let mut found = Findings::default();
    refuse_clear(section, &mut found);
    for finding in found.iter() {
        findings.push(finding.clone().as_warning());
    }
}

/// Members of a map whose name says that the value is a secret.
pub(super) fn refuse_named(map: &Node, what: &str, findings: &mut Findings) {
    let Kind::Map(map) = &map.kind else { return };
    for (key, value) in map {
        if is_secret_name(&key.name) && stands_in_clear(value) {
            findings.push(found(value, &format!("the value of the {what} `{}`", key.name)));
        }
    }
}

fn found(node: &Node, what: &str) -> Finding {
    node.error(CLEAR_SECRET, format!("{what} in clear"))
        .hint("write ${secret:NAME} or ${file:path}, and give the value to the worker; what has been committed once must be changed")
}

/// Whether letters or digits of a value are in the file itself. `Bearer ${secret:X}` is fine, a scheme is no secret; and of what stands before a variable
/// that may be nothing, neither a scheme nor a user's name is one: `user:${X:-}`.
fn stands_in_clear(node: &Node) -> bool {
    let clear = match &node.kind {
        Kind::Text(source) => match Text::new(source.as_str()) {
            Ok(text) => text.in_clear(VARIABLE, EMPTY),
            Err(_) => return false, // a finding of its own
        },
        Kind::Number(_) => return true,
        _ => return false,
    };
    let secret = match clear.contains(EMPTY) {
        true => after(after(&clear, ' '), ':'),
        false => &clear,
    };
    !clear.contains(VARIABLE) && secret.chars().any(char::is_alphanumeric)
}

/// What stands behind the first of a character; all of it where there is none.
fn after(text: &str, mark: char) -> &str {
    text.split_once(mark).map_or(text, |(_, after)| after)
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    // `ssl.key.location` and the like name a file, not a secret.
    let about_a_secret = [".location", ".path", "keystore.type", "idempotency-key"].iter().any(|end| name.ends_with(end));
    let secret = ["authorization", "token", "secret", "password", "passwd", "apikey", "cookie", "credential", "sasl.jaas.config"]
        .iter()
        .any(|word| name.contains(word));
    let key = name.split(['-', '_', '.']).any(|word| word == "key" || word == "pem");
    (secret || key) && !about_a_secret
}

/// `scheme://user:password@host`, or a query parameter that is named like a secret.
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password);
    let parameter = rest.split_once('?').is_some_and(|(_, query)| {
        query.split('&').filter_map(|pair| pair.split_once('=')).any(|(name, value)| is_secret_name(name) && is_written(value))
    });
    parameter || password.is_some_and(is_written)
}

/// Whether a part of a URL is more than variables.
fn is_written(value: &str) -> bool {
    !value.contains(VARIABLE) && !value.replace(EMPTY, "").is_empty()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::yaml;

    fn codes(sink: &str) -> usize {
        let mut findings = Findings::default();
        let node = yaml::read(&Arc::from("a.yaml"), sink, &mut findings).unwrap();
        refuse_clear(&node, &mut findings);
        assert!(findings.iter().all(|finding| finding.code == CLEAR_SECRET));
        findings.len()
    }

    #[test]
    fn what_is_in_clear_is_found() {
        for sink in [
            "auth: { basic: \"user:password\" }",
            "auth: { bearer: \"${TOKEN:-abcdef}\" }",
            "auth: { basic: \"key:secret${X:-}\" }",
            "auth: { basic: \"${X:-}key:secret\" }",
            "auth: { basic: \"secret${X:-}\" }",
            "auth: { basic: \"key:secret:${X:-}\" }",
            "auth: { bearer: \"${X:-}abcdef${Y:-}\" }",
            "headers: { Authorization: \"Bearer abc${X:-}\" }",
            "url: \"postgres://app:hunter2${X:-}@db/app\"",
            "base_url: \"https://example.org/?api_key=abc${X:-}\"",
            "auth: { header: { name: X-Auth, value: abc } }",
            "headers: { Authorization: Bearer abc }",
            "headers: { X-Api-Key: 12345 }",
            "properties: { sasl.password: hunter2 }",
            "url: postgres://app:hunter2@db/app",
            "url: \"${URL:-postgres://app:hunter2@db/app}\"",
            "base_url: https://example.org/?api_key=abc",
            "base_url: https://example.org/AKIAABCDEFGHIJKLMNOP",
        ] {
            assert_eq!(codes(sink), 1, "{sink}");
        }
    }

    #[test]
    fn variables_and_harmless_settings_are_left_alone() {
        for sink in [
            "auth: { basic: \"${secret:KEY}\" }",
            "auth: { bearer: \"${TOKEN}\" }",
            "auth: { basic: \"user:${secret:X}\" }",
            "auth: { basic: \"user:${X:-}\" }",
            "auth: { bearer: \"${X:-}\" }",
            "headers: { Authorization: \"Bearer ${X:-}\" }",
            "url: \"postgres://app:${X:-}@db/app\"",
            "base_url: \"https://example.org/?api_key=${X:-}\"",
            "headers: { Authorization: \"Bearer ${secret:X}\", Content-Type: application/json, Idempotency-Key: x }",
            "properties: { sasl.password: \"${file:/run/secrets/p}\", ssl.key.location: /etc/key.pem, compression.type: zstd }",
            "url: postgres://app:${secret:PASSWORD}@db/app",
            "url: postgres://app@db/app",
            "url: \"${URL:-sqlite:var/warehouse.db}\"",
        ] {
            assert_eq!(codes(sink), 0, "{sink}");
        }
    }
}
