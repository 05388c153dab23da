//! One API's side of a request: where it goes, and with which headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::{Host, Url};

use super::body;
use crate::config::{HttpAuth, HttpSink, Method, Resolved};
use crate::pipeline::RequestTarget;
use crate::sinks::{Blame, Item, Refusal, SinkError};

/// Shorter secrets are not looked for in answers: they would be found everywhere.
const MIN_MASKED_BYTES: usize = 4;

/// Base URL, static headers and credentials.
pub(super) struct Api {
    base: Url,
    headers: HeaderMap,
    /// What an answer may echo and nobody may read.
    secrets: Vec<String>,
}

impl Api {
    pub(super) fn new(name: &str, settings: &HttpSink<Resolved>) -> Result<Api, SinkError> {
        let base = base(settings.base_url.expose()).map_err(|reason| SinkError::setting(name, "base_url", reason))?;
        let mut api = Api { base, headers: HeaderMap::new(), secrets: Vec::new() };
        for (header, value) in &settings.headers {
            api.insert(header, value.expose()).map_err(|reason| SinkError::setting(name, format!("headers.{header}"), reason))?;
        }
        if let Some(auth) = &settings.auth {
            api.authorize(auth).map_err(|reason| SinkError::setting(name, "auth", reason))?;
        }
        Ok(api)
    }

    fn authorize(&mut self, auth: &HttpAuth<Resolved>) -> Result<(), String> {
        let (name, value, secret) = match auth {
            HttpAuth::Basic(secret) => {
                let user_password = secret.expose();
                let colon = if user_password.contains(':') { "" } else { ":" };
                let encoded = STANDARD.encode(format!("{user_password}{colon}"));
                self.secrets.push(encoded.clone());
                (AUTHORIZATION.as_str(), format!("Basic {encoded}"), secret)
            }
            HttpAuth::Bearer(secret) => (AUTHORIZATION.as_str(), format!("Bearer {}", secret.expose()), secret),
            HttpAuth::Header { name, value } => (name.as_str(), value.expose().to_owned(), value),
        };
        if secret.expose().is_empty() {
            return Err(format!("{secret} is empty"));
        }
        self.secrets.push(secret.expose().to_owned());
        self.secrets.extend(secret.expose().split_once(':').map(|(_, password)| password.to_owned()));
        self.insert(name, &value)
    }

    fn insert(&mut self, name: &str, value: &str) -> Result<(), String> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is not the name of a header"))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| "the value holds a character that no header takes".to_owned())?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }

    pub(super) fn host(&self) -> Option<Host<&str>> {
        self.base.host()
    }

    /// The base URL with a target's path and query behind its own.
    pub(super) fn url(&self, target: &str) -> Result<Url, Refusal> {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        // What an event printed into the path must not climb out of it.
        if path.split(['/', '\\']).any(is_dots) {
            return Err(Refusal::new(Blame::Record, "the request's path holds a segment of dots"));
        }
        let mut url = self.base.clone();
        if !path.trim_start_matches('/').is_empty() {
            url.set_path(&format!("{}/{}", self.base.path().trim_end_matches('/'), path.trim_start_matches('/')));
        }
        let both = [self.base.query(), query].into_iter().flatten().filter(|query| !query.is_empty()).collect::<Vec<_>>().join("&");
        url.set_query(Some(both.as_str()).filter(|query| !query.is_empty()));
        Ok(url)
    }

    /// Ours, the sink's, the target's: each over those before it.
    pub(super) fn headers(&self, target: &RequestTarget, items: &[Item]) -> Result<HeaderMap, Refusal> {
        let mut headers = HeaderMap::with_capacity(self.headers.len() + target.headers.len() + 4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(body::content_type(target.body)));
        let key = body::idempotency_key(target.body, items).to_string();
        if let Ok(key) = HeaderValue::from_str(&key) {
            headers.insert(HeaderName::from_static("idempotency-key"), key);
        }
        headers.extend(self.headers.clone());
        for (name, value) in &target.headers {
            let bad = |what: &str| Refusal::new(Blame::Record, format!("the request's header {name:?} has a bad {what}"));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("name"))?;
            headers.insert(name, HeaderValue::from_str(value).map_err(|_| bad("value"))?);
        }
        Ok(headers)
    }

    /// An answer without the secrets that it may echo.
    pub(super) fn mask(&self, answer: &str) -> String {
        let secrets = self.secrets.iter().filter(|secret| secret.len() >= MIN_MASKED_BYTES);
        secrets.fold(answer.to_owned(), |answer, secret| answer.replace(secret.as_str(), "***"))
    }
}

fn base(text: &str) -> Result<Url, String> {
    // The parser's message does not quote its input, which may hold a password.
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    match (url.scheme(), url.has_host()) {
        ("http" | "https", true) => Ok(url),
        _ => Err("must begin with http:// or https:// and name a host".to_owned()),
    }
}

/// `.` and `..`, also percent-encoded: URL parsers resolve them all.
fn is_dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

pub(super) fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;

    fn settings(base_url: &str, auth: Option<HttpAuth<Resolved>>) -> HttpSink<Resolved> {
        HttpSink { base_url: Resolved::new("${URL}", base_url), auth, headers: IndexMap::new(), gzip: false, ca_file: None }
    }

    fn url(base: &str, target: &str) -> Result<String, Refusal> {
        Api::new("c", &settings(base, None)).expect("a good base").url(target).map(String::from)
    }

    #[test]
    fn a_target_is_joined_below_the_base() {
        for (base, target, expected) in [
            ("http://h", "/a/b", "http://h/a/b"),
            ("http://h/", "/a/b", "http://h/a/b"),
            ("http://h/api", "/a", "http://h/api/a"),
            ("http://h/api/", "a?x=1&y=%2F", "http://h/api/a?x=1&y=%2F"),
            ("http://h/api?k=1", "/a?x=1", "http://h/api/a?k=1&x=1"),
            ("http://h/api", "/", "http://h/api"),
            ("http://h", "//evil.example/x", "http://h/evil.example/x"),
            ("http://h", "/users/a%2Fb%20c", "http://h/users/a%2Fb%20c"),
            ("http://h:8080", "/a#b", "http://h:8080/a%23b"),
        ] {
            assert_eq!(url(base, target).as_deref(), Ok(expected), "{base} + {target}");
        }
    }

    #[test]
    fn a_path_does_not_climb() {
        for target in ["/users/../admin", "/users/%2e%2E/admin", "/a/./b", "/..", "/a\\..\\b"] {
            assert_eq!(url("http://h/api", target).map_err(|refusal| refusal.blame), Err(Blame::Record), "{target}");
        }
    }

    #[test]
    fn a_write_key_alone_is_a_user_without_a_password() {
        let header = |value: &str| {
            let api = Api::new("c", &settings("http://h", Some(HttpAuth::Basic(Resolved::new("${secret:K}", value))))).expect("good");
            api.headers[AUTHORIZATION].to_str().expect("text").to_owned()
        };
        assert_eq!(header("key"), format!("Basic {}", STANDARD.encode("key:")));
        assert_eq!(header("user:pass:word"), format!("Basic {}", STANDARD.encode("user:pass:word")));
    }

    #[test]
    fn errors_name_the_consumer_and_never_a_secret() {
        let secret = || Resolved::new("${secret:KEY}", "hunter2\nhunter2");
        let bad = Api::new("engagement", &settings("http://h", Some(HttpAuth::Bearer(secret())))).err().expect("a line break").to_string();
        assert_eq!(bad, "consumer engagement: sink.auth: the value holds a character that no header takes");
        let bad = Api::new("engagement", &settings("postgres://u:hunter2@h", None)).err().expect("not http").to_string();
        assert_eq!(bad, "consumer engagement: sink.base_url: must begin with http:// or https:// and name a host");
        let empty = Some(HttpAuth::Bearer(Resolved::new("${secret:KEY}", "")));
        let bad = Api::new("engagement", &settings("http://h", empty)).err().expect("empty").to_string();
        assert_eq!(bad, "consumer engagement: sink.auth: ${secret:KEY} is empty");
    }

    #[test]
    fn an_answer_that_echoes_a_secret_is_masked() {
        let auth = HttpAuth::Basic(Resolved::new("${secret:K}", "user:hunter2"));
        let api = Api::new("c", &settings("http://h", Some(auth))).expect("good");
        let echo = format!("bad credentials user:hunter2, or hunter2, or {}", STANDARD.encode("user:hunter2"));
        assert_eq!(api.mask(&echo), "bad credentials ***, or ***, or ***");
    }
}
