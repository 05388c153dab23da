//! The functions and filters that templates and expressions have beside Jinja's own. A key given to `hmac_sha256` in a template is published with it: it is
//! no secret, only a salt that keeps hashes from being looked up in tables.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, State, UndefinedBehavior, Value};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::said;
use super::scope::Scope;
use super::{print, time};

/// Steps of one render: about 15 ms of work at 30 ns a step; a payload of a mebibyte takes 16,384 of them to write.
const FUEL: u64 = 500_000;
/// Frames of one render: loops, macros (4 each) and includes in each other.
const RECURSION: usize = 200;

/// What Jinja users know that has no place here, and what to do instead.
pub(super) const REFUSED: [(&str, &str); 5] = [
    ("safe", "leave it out: what is printed is escaped for its place, and nothing can switch that off"),
    ("escape", "leave it out: what is printed is escaped for its place already"),
    ("e", "leave it out: what is printed is escaped for its place already"),
    ("forceescape", "leave it out: what is printed is escaped for its place already"),
    ("pprint", "print the value itself: it is written as JSON"),
];

/// What Python's strings, lists and dicts answer to, by `minijinja_contrib::pycompat`.
pub(super) const METHODS: [&str; 34] = [
    "upper",
    "lower",
    "islower",
    "isupper",
    "isspace",
    "isdigit",
    "isnumeric",
    "isalnum",
    "isalpha",
    "isascii",
    "strip",
    "lstrip",
    "rstrip",
    "replace",
    "title",
    "split",
    "splitlines",
    "capitalize",
    "count",
    "find",
    "format",
    "rfind",
    "startswith",
    "endswith",
    "join",
    "keys",
    "values",
    "items",
    "get",
    // of `loop`
    "cycle",
    "changed",
    "index",
    "previtem",
    "nextitem",
];

/// An environment with no template in it: strict, bounded, and without files, variables of the process or a network.
pub(super) fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    // escaping is ours (`print`), and what a block captures is text
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(RECURSION);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    for (name, _) in REFUSED {
        env.remove_filter(name);
    }
    env.remove_test("safe");
    env.remove_test("escaped");
    env.remove_global("debug");
    print::install(&mut env);
    time::install(&mut env);
    env.add_filter("tojson", print::tojson);
    env.add_filter("truncate", minijinja_contrib::filters::truncate);
    env.add_filter("pluralize", minijinja_contrib::filters::pluralize);
    env.add_filter("sha256", |value: &Value| Ok::<_, Error>(hex(&Sha256::digest(text(value)?.as_bytes()))));
    env.add_filter("hmac_sha256", hmac_sha256);
    env.add_filter("mask", |value: &Value| text(value).map(mask));
    env.add_filter("mask_email", |value: &Value| text(value).map(mask_email));
    env.add_filter("urlencode", |value: &Value| Ok::<_, Error>(utf8_percent_encode(text(value)?, URL).to_string()));
    env.add_function("now", |state: &State| Scope::of(state).map(|scope| time::rfc3339(scope.taken_up())));
    env.add_function("uuid4", |state: &State| Scope::of(state).map(|scope| scope.uuid4().to_string()));
    env.add_function("uuid5", uuid5);
    env
}

/// As Jinja2's `urlencode`: `/` stays.
const URL: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

fn text(value: &Value) -> Result<&str, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(minijinja::ErrorKind::UndefinedError)),
        _ => value.as_str().ok_or_else(|| said("not text; write `| string` for the text of a number")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // writing to a String cannot fail
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn hmac_sha256(value: &Value, key: &str) -> Result<String, Error> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|_| said("not a key for hmac_sha256"))?;
    mac.update(text(value)?.as_bytes());
    Ok(hex(&mac.finalize().into_bytes()))
}

/// Keeps the last four characters of what has at least eight: `4111111111111111` → `************1111`.
fn mask(text: &str) -> String {
    let length = text.chars().count();
    let kept = if length >= 8 { 4 } else { 0 };
    text.chars().enumerate().map(|(at, c)| if at + kept < length { '*' } else { c }).collect()
}

/// Keeps the first letter and the domain: `anna@example.com` → `a***@example.com`.
fn mask_email(text: &str) -> String {
    match text.split_once('@') {
        Some((name, domain)) if !name.is_empty() => name.chars().take(1).chain("***@".chars()).chain(domain.chars()).collect(),
        _ => mask(text),
    }
}

/// `uuid5("dns", "example.com")`; the namespace may be a UUID or dns, url, oid, x500.
fn uuid5(namespace: &str, name: &str) -> Result<String, Error> {
    let namespace = match namespace {
        "dns" => Uuid::NAMESPACE_DNS,
        "url" => Uuid::NAMESPACE_URL,
        "oid" => Uuid::NAMESPACE_OID,
        "x500" => Uuid::NAMESPACE_X500,
        uuid => Uuid::parse_str(uuid).map_err(|_| said("the namespace of uuid5 must be a UUID or dns, url, oid, x500"))?,
    };
    Ok(Uuid::new_v5(&namespace, name.as_bytes()).to_string())
}
