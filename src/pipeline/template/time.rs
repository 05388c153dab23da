//! Times as templates write and read them: RFC 3339 in UTC with milliseconds.

use jiff::Timestamp;

/// `2026-11-23T18:15:00.000Z`: sorts as text.
pub fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}
