//! What an HTTP answer means: a pure function of its status, headers and the time.

use std::time::{Duration, SystemTime};

use crate::sinks::Blame;

/// Longer waits are cut: a typo in somebody's server must not silence a consumer for years.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// None: delivered. `pause` and `dead` are the consumer's `responses:` overrides.
pub(super) fn blame(status: u16, pause: &[u16], dead: &[u16]) -> Option<Blame> {
    if dead.contains(&status) {
        return Some(Blame::Record);
    }
    if pause.contains(&status) {
        return Some(Blame::Configuration);
    }
    match status {
        200..=299 => None,
        300..=399 => Some(Blame::Configuration),
        401 | 403 | 404 | 405 | 407 => Some(Blame::Configuration),
        408 | 425 | 429 => Some(Blame::Sink),
        413 => Some(Blame::Size),
        400..=499 => Some(Blame::Record),
        // 5xx, and numbers that are no HTTP status at all: not an answer of the API we are talking to.
        _ => Some(Blame::Sink),
    }
}

/// `Retry-After`: seconds, or an HTTP date. None where it is neither; zero where the date has passed.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => MAX_RETRY_AFTER,
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whose_fault_it_is() {
        let expect = |blame_expected: Option<Blame>, statuses: &[u16]| {
            for status in statuses {
                assert_eq!(blame(*status, &[], &[]), blame_expected, "{status}");
            }
        };
        expect(None, &[200, 201, 202, 204, 207, 299]);
        expect(Some(Blame::Configuration), &[301, 302, 303, 304, 307, 308, 401, 403, 404, 405, 407]);
        expect(Some(Blame::Record), &[400, 402, 406, 409, 410, 411, 412, 414, 415, 422, 431, 451, 499]);
        expect(Some(Blame::Size), &[413]);
        expect(Some(Blame::Sink), &[408, 425, 429, 500, 501, 502, 503, 504, 599, 600, 999]);
    }

    #[test]
    fn overrides_come_first() {
        assert_eq!(blame(422, &[422], &[]), Some(Blame::Configuration));
        assert_eq!(blame(404, &[], &[404]), Some(Blame::Record));
        assert_eq!(blame(200, &[200], &[]), Some(Blame::Configuration));
        assert_eq!(blame(500, &[], &[404]), Some(Blame::Sink));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Mon, 23 Nov 2026 18:00:00 GMT").expect("a date");
        let seconds = |value: &str| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("Mon, 23 Nov 2026 18:00:30 GMT"), Some(30));
        assert_eq!(seconds("Mon, 23 Nov 2026 17:00:00 GMT"), Some(0));
        assert_eq!(seconds("99999999999999999999999"), Some(86_400));
        assert_eq!(seconds("Mon, 23 Nov 2099 18:00:00 GMT"), Some(86_400));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("-1"), None);
        assert_eq!(seconds(""), None);
    }
}
